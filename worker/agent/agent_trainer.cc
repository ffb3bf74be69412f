// The agent's side towards the trainer: carries out what the slot decides and tells it what the process does.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/agent/agent.h"

namespace pixelrec::agent {
namespace {

constexpr size_t kStderrTailBytes = 4 << 10;

v1::Failure StartFailure(const absl::Status& status, v1::FailureCause otherwise, const std::string& hint) {
  v1::Failure failure;
  failure.set_cause(absl::IsResourceExhausted(status) ? v1::FAILURE_CAUSE_DISK_FULL : otherwise);
  failure.set_message(std::string(status.message()));
  failure.set_hint(hint);
  return failure;
}

}  // namespace

void Agent::Do(SlotActions actions) {
  for (SlotAction& action : actions) {
    if (auto* prepare = std::get_if<agent::PrepareRank>(&action)) {
      PrepareRank(prepare->order);
    } else if (auto* spawn = std::get_if<SpawnTrainer>(&action)) {
      Spawn(spawn->order);
    } else if (auto* tell = std::get_if<TellTrainer>(&action)) {
      if (trainer_ != nullptr) trainer_->Send(tell->command);
    } else if (std::holds_alternative<KillTrainer>(action)) {
      if (trainer_ != nullptr) trainer_->Kill();
    } else {
      reports_.Add(std::move(std::get<Deliver>(action).report));
    }
  }
  WriteNext();
}

// On the disk thread, and so behind every publication ordered before: a trainer never loads a checkpoint whose rename is still to
// come.
void Agent::PrepareRank(const v1::StartRank& order) {
  disk_.Post([this, order] {
    const RankKey key{order.job_id(), order.generation(), order.plan().rank()};
    std::optional<v1::Failure> failure;
    if (absl::Status status = allowed_.CheckPlan(order.plan()); !status.ok()) {
      failure = StartFailure(status, v1::FAILURE_CAUSE_BAD_SPEC, "");
    } else if (status = logs_.Prepare(key); !status.ok()) {
      failure = StartFailure(status, v1::FAILURE_CAUSE_INTERNAL, "the worker's --work-dir must be writable");
    }
    inbox_->Post([this, key, failure] { Do(slot_.OnPrepared(key, failure)); });
  });
}

absl::StatusOr<std::unique_ptr<TrainerProcess>> Agent::StartSpare() {
  const std::filesystem::path log = logs_.SparePath(options_.config.worker_id);
  std::error_code gone;
  std::filesystem::remove(log, gone);  // the last words of the one before are no part of a rank's log
  return TrainerProcess::Start(options_.config.trainer, log, options_.visible_gpu);
}

// A dataset is prepared by a trainer started for it: the spare is for the rank that follows.
absl::StatusOr<std::unique_ptr<TrainerProcess>> Agent::TrainerFor(const v1::StartRank& order) {
  const absl::StatusOr<std::filesystem::path> log = logs_.PathOf({order.job_id(), order.generation(), order.plan().rank()});
  if (!log.ok()) return log.status();
  if (order.plan().role() != v1::TRAINER_ROLE_PREPARE) {
    if (std::unique_ptr<TrainerProcess> spare = spare_.Take(*log, options_.now())) return spare;
  }
  return TrainerProcess::Start(options_.config.trainer, *log, options_.visible_gpu);
}

void Agent::Spawn(const v1::StartRank& order) {
  const RankKey key{order.job_id(), order.generation(), order.plan().rank()};
  const int spare = spare_.pidfd();
  absl::StatusOr<std::unique_ptr<TrainerProcess>> trainer = TrainerFor(order);
  if (!trainer.ok()) {
    options_.log(absl::StrCat(key.ToString(), ": ", std::string(trainer.status().message())));
    Do(slot_.OnSpawnFailed(
        StartFailure(trainer.status(), v1::FAILURE_CAUSE_INTERNAL, "check the worker's --trainer and --work-dir")));
    return;
  }
  trainer_ = *std::move(trainer);
  slot_.OnSpawned(trainer_->pid());
  metrics_.OnStarted(key);
  options_.log(absl::StrCat(key.ToString(), ": started trainer ", trainer_->pid(), trainer_->pidfd() == spare ? " (warm)" : ""));
}

void Agent::OnTrainerReadable(size_t limit_bytes) {
  std::vector<v1::TrainerReport> reports;
  const absl::Status status = trainer_->Receive(limit_bytes, reports);
  const Time now = options_.now();
  const RankKey key = slot_.key();
  // A generation that is no longer the newest may say what it likes.
  const bool fenced = fence_.IsOlder(key.job_id, key.generation);
  for (v1::TrainerReport& report : reports) {
    if (report.job_id() != key.job_id || report.generation() != key.generation || fenced) continue;
    metrics_.OnReport(report, now, options_.wall());
    Do(slot_.OnReport(std::move(report)));
  }
  if (!status.ok()) {
    options_.log(absl::StrCat(key.ToString(), ": ", std::string(status.message())));
    Do(slot_.OnGarbage(status.message()));
  }
  if (trainer_->channel_fd() < 0) Do(slot_.OnHangup(now));
}

void Agent::OnTrainerExited() {
  const std::optional<process::Exit> exit = trainer_->Reap();
  if (!exit.has_value()) return;
  // Its last words lie in the socket. The process is gone, so this comes to an end.
  if (trainer_->channel_fd() >= 0) OnTrainerReadable(SIZE_MAX);
  const std::string tail = RankLogs::Tail(trainer_->log(), kStderrTailBytes);
  options_.log(absl::StrCat(slot_.key().ToString(), exit->signal != 0 ? absl::StrCat(": trainer ended by signal ", exit->signal)
                                                                      : absl::StrCat(": trainer exited with ", exit->code)));
  trainer_.reset();
  metrics_.OnEnded(options_.now());
  Do(slot_.OnExited(*exit, tail));
}

}  // namespace pixelrec::agent
