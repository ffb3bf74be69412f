// One optimiser step: micro-steps forward and backward, gradients summed over ranks, clipped, applied.
//
// Threads: the training thread; collective.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/train/batch_prefetcher.h"
#include "worker/train/session.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

struct StepOutcome {
  StepRecord record;
  double seconds = 0;
  int64_t global_samples = 0;
  int64_t global_tokens = 0;
  // Any rank's stop request, seen by all ranks after the same step.
  bool stop_requested = false;
  bool checkpoint_before_stop = false;
};

class TrainingStep {
 public:
  TrainingStep(Session& session, WorkerLink& link) : s_(session), link_(link) {}

  // Runs the next step and moves session.position past it. INVALID_ARGUMENT (kNonfiniteLoss): too many non-finite steps in a row.
  absl::StatusOr<StepOutcome> Run(BatchPrefetcher& batches, int epoch);

 private:
  // Forward and backward of every micro-step; returns this rank's share of the loss.
  double Accumulate(BatchPrefetcher& batches, int epoch, StepRecord& record, int64_t& valid_rows);
  absl::Status Apply(StepRecord& record);

  Session& s_;
  WorkerLink& link_;
  int nonfinite_in_row_ = 0;
};

}  // namespace pixelrec::train
