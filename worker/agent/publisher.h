// Carries out the coordinator's commits: renames a staged directory to its final path and removes what was superseded.
//
// Threads: any; waits for the disk.
#pragma once

#include <string>
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

// How a failed rename is told to the coordinator.
v1::Failure PublishFailure(const absl::Status& status);

// A value of the label `reason` of pixelrec_checkpoint_failures_total.
std::string CheckpointFailureReason(const absl::Status& status);

}  // namespace pixelrec::agent
