#include "worker/agent/spare_trainer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/agent/rank_logs.h"

namespace pixelrec::agent {
namespace {

constexpr size_t kTailBytes = 500;

}  // namespace

void SpareTrainer::Tick(Time now) {
  if (const std::optional<Time> due = NextDue(); !due.has_value() || now < *due) return;
  absl::StatusOr<std::unique_ptr<TrainerProcess>> started = options_.start();
  if (!started.ok()) {
    options_.log(absl::StrCat("can't start a spare trainer: ", std::string(started.status().message())));
    RetryAfterBackoff(now);
    return;
  }
  process_ = *std::move(started);
}

std::optional<Time> SpareTrainer::NextDue() const {
  return options_.wanted && process_ == nullptr ? std::optional<Time>(due_) : std::nullopt;
}

void SpareTrainer::OnExited(Time now) {
  const std::optional<process::Exit> exit = process_ != nullptr ? process_->Reap() : std::nullopt;
  if (!exit.has_value()) return;
  options_.log(absl::StrCat("the spare trainer ended by ", exit->signal != 0 ? "signal " : "exit code ",
                            exit->signal != 0 ? exit->signal : exit->code, ": ", RankLogs::Tail(process_->log(), kTailBytes)));
  process_.reset();
  RetryAfterBackoff(now);
}

void SpareTrainer::RetryAfterBackoff(Time now) {
  due_ = now + backoff_;
  backoff_ = std::min(2 * backoff_, options_.max_backoff);
}

std::unique_ptr<TrainerProcess> SpareTrainer::Take(const std::filesystem::path& log, Time now) {
  if (process_ == nullptr) return nullptr;
  std::unique_ptr<TrainerProcess> taken = std::move(process_);
  due_ = now + options_.pause;
  // Killed a moment ago, stopped by somebody, or its output has nowhere to go: a fresh one does better.
  if (taken->Reap().has_value() || taken->IsStopped()) return nullptr;
  if (const absl::Status moved = taken->MoveLog(log); !moved.ok()) {
    options_.log(absl::StrCat("the spare trainer is given up: ", std::string(moved.message())));
    return nullptr;
  }
  backoff_ = options_.min_backoff;
  return taken;
}

void SpareTrainer::End() {
  options_.wanted = false;
  process_.reset();
}

}  // namespace pixelrec::agent
