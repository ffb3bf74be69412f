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
#include "common/storage/filesystem.h"
#include "worker/data/compat.h"
#include "worker/dist/backend_choice.h"
#include "worker/dist/whereabouts.h"

namespace pixelrec::train {

// Recall@k and NDCG@k over some users; no users: not evaluated.
struct RankingRecord {
  struct At {
    int k = 0;
    double recall = 0;
    double ndcg = 0;
  };
  // The same over the users whose `by` lies between two borders.
  struct Group {
    std::string by;  // "target_train_count", "history_length"
    int64_t at_least = 0;
    int64_t at_most = 0;  // INT64_MAX: no upper border
    int64_t users = 0;
    std::vector<At> at;
  };
  std::vector<At> at;
  int64_t users = 0;
  int64_t masked_targets = 0;
  int64_t tied_targets = 0;
  std::vector<Group> groups;
};

struct EpochRecord {
  int epoch = 0;
  int64_t step = 0;
  double train_loss = 0;
  double validation_loss = 0;
  bool best = false;
  double seconds = 0;
  RankingRecord validation;  // of the validation targets, where evaluation ran after this epoch
  // Visited from the start of training up to `step`, all ranks.
  int64_t samples = 0;
  std::string sample_digest;
};

// When to end before the last epoch.
struct EarlyStopping {
  std::string metric = "validation_loss";  // or "recall@K", "ndcg@K" of the validation targets
  int patience = 0;                        // epochs in a row that may pass without a better value; 0: never stop early
  bool as_good_is_better = false;          // rule O5
};

// Rules of the reference that `exact` mends, as far as they act on numbers (those on data: data::CompatRules). All off is
// `exact`.
struct CompatTraining {
  bool bf16_rounding = false;  // P1, P2, N1: weights, activations, logits and loss in bf16, fp32 masters of the rounded weights
  bool mean_per_rank = false;  // N5: the mean of the ranks' means, whatever their row counts (not W3)
  bool no_clipping = false;    // O2: max_grad_norm is read and never applied
  bool best_by_ndcg = false;   // O5: best_model/ and early stopping by NDCG at the largest cut-off; as good counts as better
  bool bf16_scores = false;    // V3: scores of the ranking in bf16
  bool decay_unread = false;   // M6: tensors that nothing reads are written as far decayed as AdamW would have them

  static constexpr CompatTraining All() { return {true, true, true, true, true, true}; }
  bool operator==(const CompatTraining&) const = default;
};

// What to do with another job's results in output_dir.
enum class OutputPolicy { kNew, kResume, kReplace };

// What a rank's machine can do, as far as it decides how a job is computed.
struct Hardware {
  // "amx_bf16" or "avx512_bf16": multiplies bf16 matrices faster than fp32 ones; empty: it has neither.
  std::string bf16_instructions;
};

// One rank's part of one generation of a job.
struct TrainJob {
  std::string job_id;
  std::string job_name;
  uint64_t generation = 1;
  int rank = 0;
  int world_size = 1;
  std::string host_address = "127.0.0.1";
  int threads = 0;    // 0: all of the host
  Hardware hardware;  // of this rank; DetectHardware
  dist::BackendChoice backend = dist::BackendChoice::kAuto;
  int gpu = 0;            // which of the visible GPUs is this rank's; a worker shows its trainer one
  std::string spec_json;  // for the TensorBoard summary

  std::filesystem::path dataset_dir;  // <cache>/<hash>
  std::filesystem::path item_model_dir;
  std::filesystem::path user_model_dir;
  std::filesystem::path init_from;  // whose weights training starts from; empty: the model directories'
  std::filesystem::path output_dir;
  OutputPolicy output_policy = OutputPolicy::kNew;
  std::vector<std::string> text_keys;
  std::string item_prompt;

  int64_t item_emb_token_n = 1;  // 0: mean pooling (rule X5)
  bool item_llm_init = true;     // false: random weights (rule F3)
  bool user_llm_init = true;
  bool gradient_checkpointing = true;
  bool offload_optimizer = false;  // masters and moments in host memory, also where ranks compute on GPUs
  int item_zero_stage = 0;         // 0-3, of the item LLM
  int user_zero_stage = 0;
  int64_t global_batch_size = 4;  // rule W10
  int64_t micro_batch_size = 4;   // per_device_train_batch_size x workers as submitted (rule W10)
  bool grad_cache = false;        // the whole global batch is one batch of negatives (rule W12)
  int epochs = 5;
  double learning_rate = 1e-4;
  double warmup_ratio = 0.1;
  double weight_decay = 0.01;
  double max_grad_norm = 1.0;
  int num_negatives = 0;  // 0: M per sample (rule W2)
  data::CompatRules data_compat;
  int reference_ranks = 1;  // workers as submitted
  bool data_split = true;
  bool bf16 = true;  // asked for; ChooseComputeType decides
  uint64_t seed = 42;
  int dataloader_num_workers = 2;
  int logging_steps = 10;
  int max_nonfinite_steps = 5;
  int max_collapsed_steps = 50;                                // 0: only warn
  std::vector<std::string> freeze;                             // "item_llm", "user_llm"
  std::vector<std::pair<std::string, double>> lr_mult_prefix;  // learning-rate factor by parameter-name prefix
  EarlyStopping early_stopping;
  CompatTraining compat;
  int evaluate_every_epochs = 1;
  std::vector<int> ks = {5, 10, 50, 200};
  int64_t checkpoint_every_steps = 0;    // 0: never
  int64_t checkpoint_every_seconds = 0;  // 0: never

  bool evaluate_only = false;  // kind: Evaluate

  std::filesystem::path resume_from;  // committed checkpoint directory; empty: start
  std::string resume_digest;          // of its manifest.json, as it was committed; empty: not known
  std::vector<EpochRecord> finished_epochs;

  storage::FileSystem* files = &storage::RealFileSystem();  // where checkpoints and best_model/ are written
};

// What of this generation's time went into neither training nor evaluation: waiting for batches (of each step, the rank that
// waited longest), standing still for checkpoints and best_model/ (by rank 0's clock, which waits for the others' parts).
struct StallRecord {
  double data_seconds = 0;
  double checkpoint_seconds = 0;
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
  int64_t record = 0;  // number of the training record that the figures are of, from 1; 0: of none yet
  StallRecord stalls;
};

struct TopAccuracy {
  int k = 0;
  double accuracy = 0;
};

struct StepRecord {
  int64_t step = 0;
  int epoch = 0;
  double data_seconds = 0;
  double forward_seconds = 0;
  double backward_seconds = 0;
  double communication_seconds = 0;
  double optimizer_seconds = 0;
  int64_t samples = 0;        // of this rank
  int64_t tokens = 0;         // of this rank; GradCache encodes them twice and counts them once
  int64_t cached_passes = 0;  // of GradCache over the step's items; 0: the step made no use of it
  double loss = 0;
  double learning_rate = 0;
  double grad_norm = 0;
  bool nonfinite = false;
  // Rule N6, means over the valid rows of the global batch.
  double nce_samples = 0;            // logits that the filter left in, the positive among them
  int64_t negatives = 0;             // columns it could have left in
  std::vector<TopAccuracy> nce_top;  // share of rows whose positive is among the k highest logits
  double scale = 0;                  // exp(logit_scale), the factor of the logits
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
  // Of a checkpoint, as in EpochRecord.
  int64_t samples = 0;
  std::string sample_digest;
  StallRecord stalls;  // up to when it was announced
};

struct ResultRecord {
  std::vector<EpochRecord> epochs;
  RankingRecord test;
  // Rankings that learn nothing, on the same split.
  RankingRecord popularity;
  RankingRecord last_item;
  // Of an Evaluate job alone; a training job's epochs carry theirs.
  RankingRecord validation;
  std::optional<double> validation_loss;
  double train_seconds = 0;
  double evaluation_seconds = 0;
  int64_t samples = 0;
  int64_t tokens = 0;
  std::string sample_digest;
  StallRecord stalls;
};

struct StopRequest {
  bool checkpoint = true;
  std::string reason;
};

// The worker that spawned this trainer. Implemented beside trainer_main over the channel, and by fakes in tests.
//
// Threads: all calls but At come from the training thread.
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
  // At every change, from any thread; must be quick.
  virtual void At(const dist::Whereabouts::Place& place) = 0;
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
  kLossCollapse,
  kOutputUnwritable,
  kDiskFull,
  kCheckpointDamaged,  // the one to go on from
  kCollective,
  kInternal,
  kBadSpec  // asks for what this machine or build doesn't have
};

}  // namespace pixelrec::train
