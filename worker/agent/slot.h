// The one place this worker has for a trainer: decides what to do with it when orders, reports and exits come. No process, no
// clock.
//
//   empty -> preparing (folders, paths: on the disk thread) -> running -> stopping -> empty
//
// Orders of older generations don't get here (GenerationFence).
//
// Threads: one.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/process/child.h"
#include "pixelrec/v1/worker_service.pb.h"
#include "worker/agent/rank_key.h"

namespace pixelrec::agent {

// What the owner has to do, in order.
struct PrepareRank {  // then OnPrepared
  v1::StartRank order;
};
struct SpawnTrainer {  // then OnSpawned or OnSpawnFailed
  v1::StartRank order;
};
struct TellTrainer {
  v1::TrainerCommand command;
};
struct KillTrainer {};  // OnExited follows
struct Deliver {        // to the coordinator
  v1::RankReport report;
};
using SlotAction = std::variant<PrepareRank, SpawnTrainer, TellTrainer, KillTrainer, Deliver>;
using SlotActions = std::vector<SlotAction>;

class Slot {
 public:
  struct Options {
    std::string worker_id;
    // From StopTraining to SIGKILL where no order says how long.
    std::chrono::milliseconds stop_grace{30'000};
    // From the end of a trainer's channel to its exit.
    std::chrono::milliseconds hangup_grace{10'000};
  };
  explicit Slot(Options options) : options_(std::move(options)) {}

  // A newer generation of the same job takes the place of an older one; for another job the slot must be free.
  SlotActions OnStart(const v1::StartRank& order);
  SlotActions OnStop(const v1::StopRank& order, Time now);
  SlotActions OnRendezvous(const v1::SetRendezvous& order);
  SlotActions OnCommitted(const RankKey& key, const v1::Artifact& artifact);
  // The worker leaves or is orphaned. `leaving`: nothing is started any more.
  SlotActions StopFor(absl::string_view reason, bool leaving, Time now);

  SlotActions OnPrepared(const RankKey& key, const std::optional<v1::Failure>& failure);
  void OnSpawned(pid_t pid);
  SlotActions OnSpawnFailed(v1::Failure failure);
  // Step timings stay here (the owner has seen them); what is not of this trainer is dropped.
  SlotActions OnReport(v1::TrainerReport report);
  SlotActions OnHangup(Time now);
  SlotActions OnGarbage(absl::string_view what);
  SlotActions OnExited(process::Exit exit, std::string stderr_tail);

  SlotActions Tick(Time now);
  std::optional<Time> NextDue() const { return kill_at_; }

  bool empty() const { return state_ == State::kEmpty; }
  bool IsRunning(const RankKey& key) const { return !empty() && key == key_; }
  const RankKey& key() const { return key_; }
  std::optional<v1::RunningRank> running() const;

 private:
  enum class State { kEmpty, kPreparing, kRunning };

  SlotActions Begin(const v1::StartRank& order);
  SlotActions Command(v1::TrainerCommand command);
  SlotActions Kill();
  // Empties the slot, then starts who waits for it.
  SlotActions End(v1::RankExited exited, std::optional<v1::Failure> failure);
  SlotActions Refuse(const v1::StartRank& order, absl::string_view why) const;
  Deliver FailureReport(const RankKey& key, v1::Failure failure) const;

  const Options options_;
  State state_ = State::kEmpty;
  RankKey key_;
  v1::StartRank order_;
  pid_t pid_ = 0;
  bool doomed_ = false;    // killed, or to be ended before it was spawned
  bool stopping_ = false;  // StopTraining was sent
  bool leaving_ = false;
  std::optional<Time> kill_at_;
  std::vector<v1::TrainerCommand> early_;   // came before the trainer was there
  std::optional<v1::StartRank> successor_;  // starts once the trainer is gone
};

}  // namespace pixelrec::agent
