// Carries out the coordinator's commits: renames a staged directory to its final path and removes what was superseded.
//
// Threads: any; waits for the disk.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/storage/filesystem.h"
#include "pixelrec/v1/worker_service.pb.h"
#include "worker/agent/allowed_paths.h"

namespace pixelrec::agent {

struct Publication {
  absl::Status status;                  // of the rename
  std::vector<std::string> complaints;  // what could not be reaped; the commit stands
  double seconds = 0;
};

// Idempotent.
Publication Publish(const v1::CommitArtifact& order, const AllowedPaths& allowed,
                    storage::FileSystem& files = storage::RealFileSystem());

// Orders that could not be carried out. A repeat that the coordinator sent before it learnt so must do nothing: it will count the
// artifact as never published, whatever room the disk has by then. An order of a newer generation is another one.
//
// Threads: one at a time.
class FailedOrders {
 public:
  void Add(const v1::CommitArtifact& order);
  bool Contains(const v1::CommitArtifact& order) const;

 private:
  std::map<std::string, std::pair<uint64_t, std::set<std::string>>> paths_;  // by job, of its newest generation that had any
};

// How a failed rename is told to the coordinator.
v1::Failure PublishFailure(const absl::Status& status);

// A value of the label `reason` of pixelrec_checkpoint_failures_total.
std::string CheckpointFailureReason(const absl::Status& status);

}  // namespace pixelrec::agent
