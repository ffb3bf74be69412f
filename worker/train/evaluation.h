// A job that only evaluates (kind: Evaluate): the weights it was opened with rank the validation and the test targets.
//
// Threads: the training thread; collective.
#pragma once

#include "absl/status/status.h"
#include "worker/train/progress_log.h"
#include "worker/train/session.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

absl::Status RunEvaluation(Session& session, WorkerLink& link, ProgressLog& log);

}  // namespace pixelrec::train
