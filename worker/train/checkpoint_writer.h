// Checkpoints that are written while training goes on. Every rank takes a copy of what it owns at a step border and a thread of
// its own writes that shard; once all ranks' shards are written, rank 0 adds the manifest, and the coordinator's commit moves the
// folder to its final place.
//
// Threads: the training thread. Start and Conclude are collective; all ranks call them at the same steps.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "worker/checkpoint/digest.h"
#include "worker/checkpoint/manifest.h"
#include "worker/train/session.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

class CheckpointWriter {
 public:
  explicit CheckpointWriter(const Session& session) : s_(session) {}
  ~CheckpointWriter();

  // checkpoint-epoch-N/ or recovery/step-N/ with weights, moments and position. Nothing may be under way. RESOURCE_EXHAUSTED: the
  // disk has no room for it (disk_room.h), so nothing was begun; the same on all ranks.
  absl::Status Start(ArtifactKind kind);
  bool under_way() const { return record_.has_value(); }
  // Whether this rank's shard is written, or has failed; true while nothing is under way.
  bool written() const;
  // Waits for every rank's shard and completes the folder; -> on rank 0 the artifact to announce. RESOURCE_EXHAUSTED: no space,
  // and other errors of writing, on any rank: the same on all of them; earlier checkpoints stay.
  absl::StatusOr<std::optional<ArtifactRecord>> Conclude();

 private:
  using Files = std::map<std::string, checkpoint::FileDigest>;

  const Session& s_;
  std::optional<ArtifactRecord> record_;
  checkpoint::Manifest manifest_;
  std::thread thread_;
  mutable absl::Mutex mutex_;
  std::optional<absl::StatusOr<Files>> shard_ ABSL_GUARDED_BY(mutex_);  // what the thread left
};

}  // namespace pixelrec::train
