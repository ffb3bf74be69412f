// A trainer that was started before anybody asked for one: its libraries are loaded, it waits for a plan. A rank that takes it
// starts about half a second sooner (docs/reliability.md), at the price of an idle process's memory.
//
// Threads: one, which must live as long as the daemon (see common/process/child.h).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "absl/strings/string_view.h"
#include "worker/agent/rank_key.h"
#include "worker/agent/trainer_process.h"

namespace pixelrec::agent {

class SpareTrainer {
 public:
  struct Options {
    bool wanted = false;
    // -> a trainer that waits for its plan.
    std::function<absl::StatusOr<std::unique_ptr<TrainerProcess>>()> start;
    std::function<void(absl::string_view)> log = [](absl::string_view) {};
    // After one was taken: the trainer that starts has the machine to itself first.
    std::chrono::milliseconds pause{2'000};
    // After one that died by itself or could not be started; doubles while that goes on.
    std::chrono::milliseconds min_backoff{1'000}, max_backoff{60'000};
  };
  explicit SpareTrainer(Options options) : options_(std::move(options)), backoff_(options_.min_backoff) {}

  // Starts one if it is time.
  void Tick(Time now);
  // When Tick has something to do; nothing: there is one, or none is wanted.
  std::optional<Time> NextDue() const;

  // -1: none. Readable once it has ended.
  int pidfd() const { return process_ != nullptr ? process_->pidfd() : -1; }
  void OnExited(Time now);

  // The spare, whose output goes on in the file `log`. Null: there is none that could work.
  std::unique_ptr<TrainerProcess> Take(const std::filesystem::path& log, Time now);
  // For good: the worker leaves.
  void End();

 private:
  void RetryAfterBackoff(Time now);

  Options options_;
  std::unique_ptr<TrainerProcess> process_;
  Time due_{};  // the epoch: at once
  std::chrono::milliseconds backoff_;
};

}  // namespace pixelrec::agent
