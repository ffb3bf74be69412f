#include "coordinator/state/failures.h"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace pixelrec::coordinator {

using v1::FailureCause;

FailureClass ClassOf(FailureCause cause) {
  switch (cause) {
    case v1::FAILURE_CAUSE_BAD_SPEC:
    case v1::FAILURE_CAUSE_BAD_DATA:
    case v1::FAILURE_CAUSE_BAD_MODEL:
    case v1::FAILURE_CAUSE_OUT_OF_MEMORY:
    case v1::FAILURE_CAUSE_NONFINITE_LOSS:
    case v1::FAILURE_CAUSE_OUTPUT_UNWRITABLE:
    case v1::FAILURE_CAUSE_LOSS_COLLAPSE:
    case v1::FAILURE_CAUSE_TIME_LIMIT:
      return FailureClass::kUser;
    default:
      return FailureClass::kInfrastructure;
  }
}

absl::string_view ClassName(FailureClass failure_class) {
  return failure_class == FailureClass::kUser ? "user" : "infrastructure";
}

bool BlamesJob(FailureCause cause) { return cause != v1::FAILURE_CAUSE_WORKER_LOST && cause != v1::FAILURE_CAUSE_DISK_FULL; }

namespace {

struct SignalMeaning {
  int signal;
  absl::string_view name;
  absl::string_view hint;
};

constexpr SignalMeaning kSignals[] = {
    {SIGKILL, "SIGKILL",
     "someone sent it, or the kernel's out-of-memory killer did (see dmesg): use fewer workers per host or smaller batches"},
    {SIGSEGV, "SIGSEGV", "a defect of the trainer: please report it with the rank's log"},
    {SIGBUS, "SIGBUS", "a mapped file was cut short, or /dev/shm is full"},
    {SIGABRT, "SIGABRT", "the trainer gave up: the rank's log says why"},
    {SIGFPE, "SIGFPE", "a defect of the trainer: please report it with the rank's log"},
    {SIGILL, "SIGILL", "this program was built for another CPU"},
    {SIGTERM, "SIGTERM", "someone stopped the trainer"},
};

}  // namespace

v1::Failure ClassifyExit(const v1::RankExited& exited) {
  v1::Failure failure;
  failure.set_exit_code(std::max(0, exited.exit_code()));
  failure.set_signal(exited.signal());
  if (exited.signal() != 0) {
    failure.set_cause(v1::FAILURE_CAUSE_TRAINER_SIGNAL);
    failure.set_message(absl::StrCat("killed by signal ", exited.signal()));
    failure.set_hint("see the rank's log");
    for (const SignalMeaning& meaning : kSignals) {
      if (meaning.signal == exited.signal()) {
        absl::StrAppend(failure.mutable_message(), " (", meaning.name, ")");
        failure.set_hint(std::string(meaning.hint));
      }
    }
  } else {
    failure.set_cause(v1::FAILURE_CAUSE_INTERNAL);
    failure.set_message(absl::StrCat("ended with exit code ", exited.exit_code(), " and no reason"));
    failure.set_hint(exited.exit_code() == 126 || exited.exit_code() == 127
                         ? "the trainer program could not be run: check `trainer` in worker.yaml"
                         : "see the rank's log");
  }
  if (!exited.stderr_tail().empty()) {
    absl::StrAppend(failure.mutable_message(), "; its last words: ", absl::StripSuffix(exited.stderr_tail(), "\n"));
  }
  return failure;
}

std::string CauseName(FailureCause cause) {
  return std::string(absl::StripPrefix(v1::FailureCause_Name(cause), "FAILURE_CAUSE_"));
}

std::string Describe(const v1::Failure& failure) {
  if (failure.rank() < 0) {
    return failure.message();
  }
  return absl::StrCat("rank ", failure.rank(), " on ", failure.worker_id(), ": ", failure.message());
}

int RestartLimit(const v1::JobSpec& spec, FailureClass failure_class) {
  const v1::RestartBudget& budget = spec.scheduling().max_restarts();
  if (failure_class == FailureClass::kUser) {
    return budget.user();
  }
  return budget.has_infrastructure() ? budget.infrastructure() : 20;
}

std::chrono::microseconds Backoff(absl::string_view job_id, int attempt, std::chrono::microseconds floor,
                                  std::chrono::microseconds ceiling) {
  if (attempt <= 1) {
    return std::chrono::microseconds(0);
  }
  // FNV-1a over the arguments: stable over programs and machines, unlike std::hash.
  uint64_t hash = 14695981039346656037ULL;
  auto mix = [&hash](unsigned char byte) { hash = (hash ^ byte) * 1099511628211ULL; };
  for (char c : job_id) {
    mix(static_cast<unsigned char>(c));
  }
  int64_t wait = floor.count();
  for (int i = 2; i <= attempt && wait < ceiling.count(); ++i) {
    mix(static_cast<unsigned char>(i));
    const int64_t span = std::max<int64_t>(1, 3 * wait - floor.count());
    wait = floor.count() + static_cast<int64_t>((hash >> 16) % static_cast<uint64_t>(span));
  }
  return std::chrono::microseconds(std::min(wait, ceiling.count()));
}

}  // namespace pixelrec::coordinator
