// What the trainer is told and what it tells: plain structs, so that neither LibTorch nor protobuf leaks through.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::train {

struct EpochRecord {
  struct At {
    int k = 0;
    double recall = 0;
    double ndcg = 0;
  };
  int epoch = 0;
  int64_t step = 0;
  double train_loss = 0;
  double validation_loss = 0;
  bool best = false;
  double seconds = 0;
  // Metrics on the validation targets; empty where evaluation didn't run after this epoch.
  std::vector<At> validation;
  int64_t users = 0;
  int64_t masked_targets = 0;
  int64_t tied_targets = 0;
};

// What to do with another job's results in output_dir.
enum class OutputPolicy { kNew, kResume, kReplace };

// One rank's part of one generation of a job.
struct TrainJob {
  std::string job_id;
  std::string job_name;
  uint64_t generation = 1;
  int rank = 0;
  int world_size = 1;
  std::string host_address = "127.0.0.1";
  int threads = 0;        // 0: all of the host
  std::string spec_json;  // for the TensorBoard summary

  std::filesystem::path dataset_dir;  // <cache>/<hash>
  std::filesystem::path item_model_dir;
  std::filesystem::path user_model_dir;
  std::filesystem::path output_dir;
  OutputPolicy output_policy = OutputPolicy::kNew;
  std::vector<std::string> text_keys;
  std::string item_prompt;

  bool gradient_checkpointing = true;
  int64_t global_batch_size = 4;  // rule W10
  int64_t micro_batch_size = 4;   // per_device_train_batch_size x workers as submitted (rule W10)
  int epochs = 5;
  double learning_rate = 1e-4;
  double warmup_ratio = 0.1;
  double weight_decay = 0.01;
  double max_grad_norm = 1.0;
  int num_negatives = 0;  // 0: M per sample (rule W2)
  bool bf16 = true;
  uint64_t seed = 42;
  int dataloader_num_workers = 2;
  int logging_steps = 10;
  int max_nonfinite_steps = 5;
  int evaluate_every_epochs = 1;
  std::vector<int> ks = {5, 10, 50, 200};
  int64_t checkpoint_every_steps = 0;    // 0: never
  int64_t checkpoint_every_seconds = 0;  // 0: never

  std::filesystem::path resume_from;  // committed checkpoint directory; empty: start
  std::vector<EpochRecord> finished_epochs;
};

struct ProgressRecord {
  int epoch = 0;  // from 1
  int epochs = 0;
  int64_t step = 0;
  int64_t total_steps = 0;
  double loss = 0;
  double learning_rate = 0;
  double grad_norm = 0;
  double tokens_per_second = 0;
  double samples_per_second = 0;
  double step_seconds = 0;
  double eta_seconds = 0;
  std::string section;  // "load", "train", "validate", "evaluate", "export"
  double section_fraction = 0;
};

struct StepRecord {
  int64_t step = 0;
  int epoch = 0;
  double data_seconds = 0;
  double forward_seconds = 0;
  double backward_seconds = 0;
  double communication_seconds = 0;
  double optimizer_seconds = 0;
  int64_t samples = 0;  // of this rank
  int64_t tokens = 0;   // of this rank
  double loss = 0;
  double learning_rate = 0;
  double grad_norm = 0;
  bool nonfinite = false;
};

enum class ArtifactKind { kEpochCheckpoint, kRecoveryCheckpoint, kBestModel };

struct ArtifactRecord {
  ArtifactKind kind = ArtifactKind::kEpochCheckpoint;
  std::filesystem::path staging_path;
  std::filesystem::path path;
  int epoch = 0;
  int64_t step = 0;
  int64_t bytes = 0;
  double write_seconds = 0;
  std::string manifest_digest;
  double validation_loss = 0;
};

struct ResultRecord {
  std::vector<EpochRecord> epochs;
  EpochRecord test;        // only the ranking fields
  EpochRecord popularity;  // only the ranking fields
  double train_seconds = 0;
  double evaluation_seconds = 0;
  int64_t samples = 0;
  int64_t tokens = 0;
  std::string sample_digest;
};

struct StopRequest {
  bool checkpoint = true;
  std::string reason;
};

// The worker that spawned this trainer. Implemented beside trainer_main over the channel, and by fakes in tests.
//
// Threads: all calls come from the training thread.
class WorkerLink {
 public:
  virtual ~WorkerLink() = default;
  virtual void StoreOpened(const std::string& host, int port) = 0;
  // Blocks until rank 0's store is known. UNAVAILABLE: the worker is gone.
  virtual absl::StatusOr<std::pair<std::string, int>> WaitForStore() = 0;
  virtual void TrainingStarted(int64_t step) = 0;
  virtual void Progress(const ProgressRecord& progress) = 0;
  virtual void StepTimed(const StepRecord& step) = 0;
  virtual void EpochFinished(const EpochRecord& epoch) = 0;
  virtual void ArtifactStaged(const ArtifactRecord& artifact) = 0;
  virtual void Notice(bool warning, const std::string& text) = 0;
  virtual void Finished(const ResultRecord& result) = 0;
  virtual std::optional<StopRequest> StopRequested() = 0;
  // Blocks until `path`, staged before, was committed. UNAVAILABLE: the worker is gone.
  virtual absl::Status WaitUntilCommitted(const std::filesystem::path& path, int64_t step) = 0;
};

// A failure that the worker reports by type: carried in absl::Status, see failure.h.
enum class FailureKind {
  kBadData,
  kBadModel,
  kOutOfMemory,
  kNonfiniteLoss,
  kOutputUnwritable,
  kDiskFull,
  kCollective,
  kInternal
};

}  // namespace pixelrec::train
