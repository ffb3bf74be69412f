// A job that saves, on any FileSystem: the ranks' shards, rank 0's manifest and best_model/, the coordinator's commit as its
// journal has it, the agent's publication. All of it is the product's code but the journal, whose rules are those of
// coordinator/state/reports.cc.
//
// Threads: one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/common/storage/fault_file_system.h"
#include "tests/worker/checkpoint/tiny_model.h"
#include "worker/agent/publisher.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/checkpoint_files.h"

namespace pixelrec::checkpoint {

// What a checkpoint or best_model/ must hold: every tensor's values follow from these two.
struct Claim {
  int64_t step = 0;
  uint64_t generation = 0;
  friend bool operator==(const Claim&, const Claim&) = default;
};

struct Committed {
  std::string name;  // below output_dir: "recovery/step-4", "checkpoint-epoch-1", "best_model"
  std::string staging;
  Claim claim;
};

class SavingJob {
 public:
  static constexpr int kRanks = 3, kKeep = 2;

  // `models` holds a Hugging Face directory on the real disk (WriteTinyModel).
  SavingJob(storage::FaultFileSystem& disk, std::filesystem::path output, std::filesystem::path models);

  // The save that follows the newest committed checkpoint: recovery checkpoints, and at every sixth step best_model/ and an epoch
  // checkpoint. False: a part of it failed, which the job survives unless the disk says dead().
  bool SaveNext();
  // The next generation, after a crash: finishes what was committed, reaps what generations before left behind. Not OK: something
  // committed could not be published.
  absl::Status Restart();

  const std::vector<Committed>& checkpoints() const { return checkpoints_; }
  bool has_best_model() const { return has_best_model_; }
  uint64_t generation() const { return generation_; }

 private:
  struct Reaping {
    Committed checkpoint;
    std::string successor;
  };

  std::string Staging(const std::string& name) const;
  bool SaveCheckpoint(const std::string& name, int64_t step);
  bool SaveBestModel(int64_t step);
  bool Commit(const Committed& artifact);
  absl::Status Publish(const Committed& artifact);
  void OnPublishFailed(const Committed& artifact);

  storage::FaultFileSystem& disk_;
  const std::filesystem::path output_, models_;
  DecoderConfig config_;
  ModelWeights original_;
  uint64_t generation_ = 1;
  bool has_best_model_ = false;  // one was published
  // The journal.
  std::vector<Committed> checkpoints_, unpublished_;
  std::vector<Reaping> reaping_;
};

// Opens what lies at `folder` (which stands for output_/NAME) and holds it against what it claims to be. NOT_FOUND and the
// readers' other errors: it can't be loaded. INTERNAL: it can, and holds something else.
absl::StatusOr<Claim> LoadCheckpoint(const std::filesystem::path& folder);
absl::StatusOr<Claim> LoadBestModel(const std::filesystem::path& folder);

}  // namespace pixelrec::checkpoint
