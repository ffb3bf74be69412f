// The training of one rank, as the story reads: steps, epochs, validation, checkpoints, the final evaluation.
//
// Threads: the training thread. Errors: Status with a FailureKind (failure.h); nothing throws.
#pragma once

#include "absl/status/status.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// Trains `job` to its end and tells `link` all of it. CANCELLED: `link` asked to stop, and what it asked for (a checkpoint) is
// done.
absl::Status RunTraining(const TrainJob& job, WorkerLink& link);

}  // namespace pixelrec::train
