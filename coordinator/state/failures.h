// The failure catalogue: from an exit to a typed failure, and from a failure to its class, which decides whose restart budget it
// burns.
#pragma once

#include <chrono>
#include <string>

#include "absl/strings/string_view.h"
#include "pixelrec/v1/job.pb.h"
#include "pixelrec/v1/worker_service.pb.h"

namespace pixelrec::coordinator {

enum class FailureClass { kUser, kInfrastructure };

FailureClass ClassOf(v1::FailureCause cause);
absl::string_view ClassName(FailureClass failure_class);

// True if repeating it without any new step tells that the job itself is the cause, not the machines.
bool BlamesJob(v1::FailureCause cause);

// A non-zero exit, or one by signal, of a rank that sent no Failure itself. rank, worker_id and generation are left to the
// caller.
v1::Failure ClassifyExit(const v1::RankExited& exited);

// "rank 1 on w2: killed by signal 9 (SIGKILL)".
std::string Describe(const v1::Failure& failure);

// "BAD_DATA", without the enum's prefix.
std::string CauseName(v1::FailureCause cause);

// Restarts allowed in this class; -1: without limit.
int RestartLimit(const v1::JobSpec& spec, FailureClass failure_class);

// Decorrelated backoff before restart number `attempt` (from 1) in a row: the first is immediate, then random in a range that
// triples up to `ceiling`. A function of its arguments only, so that replay and tests see the same.
std::chrono::microseconds Backoff(absl::string_view job_id, int attempt, std::chrono::microseconds floor,
                                  std::chrono::microseconds ceiling);

}  // namespace pixelrec::coordinator
