// One optimiser step: micro-steps forward and backward, gradients summed over ranks, clipped, applied.
//
// Threads: the training thread; collective.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/train/batch_prefetcher.h"
#include "worker/train/collapse_watchdog.h"
#include "worker/train/session.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// What a rank tells the others with its step, so that all of them act alike after it.
struct StepFlags {
  bool checkpoint_due = false;     // by rank 0's clock
  bool checkpoint_written = true;  // this rank's shard of the one under way
};

struct StepOutcome {
  StepRecord record;
  double seconds = 0;
  int64_t global_samples = 0;
  int64_t global_tokens = 0;
  // Any rank's stop request, seen by all ranks after the same step.
  bool stop_requested = false;
  bool checkpoint_before_stop = false;
  bool checkpoint_due = false;      // some rank said so
  bool checkpoint_written = false;  // all ranks said so
  double data_seconds = 0;          // of the rank that waited longest for its batches
};

class TrainingStep {
 public:
  TrainingStep(Session& session, WorkerLink& link)
      : s_(session), link_(link), collapse_watchdog_(session.job.max_collapsed_steps) {}

  // Runs the next step and moves session.position past it. INVALID_ARGUMENT: too many steps in a row were not finite
  // (kNonfiniteLoss) or showed embeddings that are all alike (kLossCollapse).
  absl::StatusOr<StepOutcome> Run(BatchPrefetcher& batches, int epoch, const StepFlags& flags);

 private:
  // What this rank's micro-steps add up to.
  struct Sums {
    double loss = 0;  // this rank's share
    int64_t global_valid_rows = 0;
    at::Tensor statistics;  // model::NceStatistics
  };
  // Forward and backward of every micro-step, and the sums of gradients over ranks.
  Sums Accumulate(BatchPrefetcher& batches, int epoch, StepRecord& record);
  void RunMicroStep(const data::RankBatch& batch, int64_t micro_steps, bool last, Sums& sums, StepRecord& record);
  // Sums over ranks of everything else that all ranks must agree on.
  void Reduce(const Sums& mine, const StepFlags& flags, StepOutcome& outcome);
  absl::Status Apply(StepRecord& record);
  absl::Status WatchForCollapse(const StepRecord& record);

  Session& s_;
  WorkerLink& link_;
  int nonfinite_in_row_ = 0;
  CollapseWatchdog collapse_watchdog_;
};

}  // namespace pixelrec::train
