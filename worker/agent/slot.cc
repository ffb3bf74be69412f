#include "worker/agent/slot.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::agent {
namespace {

using std::chrono::milliseconds;

RankKey KeyOfStart(const v1::StartRank& order) { return {order.job_id(), order.generation(), order.plan().rank()}; }

v1::TrainerCommand CommandFor(const RankKey& key) {
  v1::TrainerCommand command;
  command.set_job_id(key.job_id);
  command.set_generation(key.generation);
  return command;
}

// Of a rank that was stopped before it had a process.
v1::RankExited KilledExit() {
  v1::RankExited exited;
  exited.set_exit_code(-1);
  exited.set_signal(SIGKILL);
  return exited;
}

Deliver Ended(const RankKey& key, v1::RankExited exited) {
  Deliver deliver;
  SetKey(key, deliver.report);
  *deliver.report.mutable_exited() = std::move(exited);
  return deliver;
}

void Append(SlotActions& to, SlotActions&& more) { std::move(more.begin(), more.end(), std::back_inserter(to)); }

}  // namespace

SlotActions Slot::OnStart(const v1::StartRank& order) {
  if (leaving_) return Refuse(order, "the worker is stopping");
  if (state_ == State::kEmpty) return Begin(order);
  if (order.job_id() != key_.job_id) return Refuse(order, absl::StrCat("the worker still runs ", key_.ToString()));
  // A newer generation of this very job: the older one is lost anyhow.
  successor_ = order;
  return Kill();
}

SlotActions Slot::Begin(const v1::StartRank& order) {
  state_ = State::kPreparing;
  key_ = KeyOfStart(order);
  order_ = order;
  pid_ = 0;
  doomed_ = stopping_ = false;
  kill_at_.reset();
  early_.clear();
  return {PrepareRank{order}};
}

SlotActions Slot::OnPrepared(const RankKey& key, const std::optional<v1::Failure>& failure) {
  if (state_ != State::kPreparing || key != key_) return {};
  if (doomed_ || stopping_) {
    return End(KilledExit(), std::nullopt);
  }
  if (failure.has_value()) return OnSpawnFailed(*failure);
  v1::TrainerCommand plan = CommandFor(key_);
  *plan.mutable_plan() = order_.plan();
  SlotActions actions{SpawnTrainer{order_}, TellTrainer{std::move(plan)}};
  for (v1::TrainerCommand& command : early_) actions.push_back(TellTrainer{std::move(command)});
  early_.clear();
  state_ = State::kRunning;
  return actions;
}

void Slot::OnSpawned(pid_t pid) { pid_ = pid; }

SlotActions Slot::OnSpawnFailed(v1::Failure failure) {
  v1::RankExited exited;
  exited.set_exit_code(127);
  failure.set_exit_code(127);
  return End(std::move(exited), std::move(failure));
}

SlotActions Slot::OnStop(const v1::StopRank& order, Time now) {
  if (successor_.has_value() && KeyOfStart(*successor_) == KeyOf(order)) {
    const v1::StartRank called_off = *std::exchange(successor_, std::nullopt);
    return {Ended(KeyOfStart(called_off), KilledExit())};
  }
  if (!IsRunning(KeyOf(order))) return {};
  if (order.now()) return Kill();
  const milliseconds asked(google::protobuf::util::TimeUtil::DurationToMilliseconds(order.grace()));
  const Time until = now + (asked > milliseconds(0) ? asked : options_.stop_grace);
  kill_at_ = std::min(kill_at_.value_or(until), until);  // a repeat gives no more time
  if (std::exchange(stopping_, true)) return {};
  v1::TrainerCommand command = CommandFor(key_);
  *command.mutable_stop() = order.stop();
  return Command(std::move(command));
}

SlotActions Slot::StopFor(absl::string_view reason, bool leaving, Time now) {
  leaving_ = leaving_ || leaving;
  if (empty() || doomed_ || stopping_) return {};
  // Told first, so that an exit of 0 in the middle of training isn't taken for a defect of the trainer.
  v1::Failure failure;
  failure.set_cause(v1::FAILURE_CAUSE_WORKER_LOST);
  failure.set_message(absl::StrCat("worker ", options_.worker_id, " ends its rank: ", std::string(reason)));
  SlotActions actions{FailureReport(key_, std::move(failure))};
  v1::StopRank order;
  SetKey(key_, order);
  order.mutable_stop()->set_checkpoint(true);
  order.mutable_stop()->set_reason(std::string(reason));
  Append(actions, OnStop(order, now));
  return actions;
}

SlotActions Slot::OnRendezvous(const v1::SetRendezvous& order) {
  if (!IsRunning(KeyOf(order))) return {};
  v1::TrainerCommand command = CommandFor(key_);
  *command.mutable_rendezvous() = order.rendezvous();
  return Command(std::move(command));
}

SlotActions Slot::OnCommitted(const RankKey& key, const v1::Artifact& artifact) {
  if (!IsRunning(key)) return {};
  v1::TrainerCommand command = CommandFor(key_);
  v1::ArtifactCommitted& committed = *command.mutable_artifact_committed();
  committed.set_kind(artifact.kind());
  committed.set_path(artifact.path());
  committed.set_step(artifact.step());
  return Command(std::move(command));
}

SlotActions Slot::Command(v1::TrainerCommand command) {
  if (state_ == State::kPreparing) {
    early_.push_back(std::move(command));
    return {};
  }
  return {TellTrainer{std::move(command)}};
}

SlotActions Slot::Kill() {
  kill_at_.reset();
  if (std::exchange(doomed_, true) || state_ == State::kPreparing) return {};
  return {KillTrainer{}};
}

SlotActions Slot::OnReport(v1::TrainerReport report) {
  const bool ours = state_ == State::kRunning && report.job_id() == key_.job_id && report.generation() == key_.generation;
  if (!ours || report.has_step_timings()) return {};
  report.set_rank(key_.rank);
  v1::RankReport out;
  SetKey(key_, out);
  *out.mutable_trainer() = std::move(report);
  return {Deliver{std::move(out)}};
}

SlotActions Slot::OnHangup(Time now) {
  const Time until = now + options_.hangup_grace;
  kill_at_ = std::min(kill_at_.value_or(until), until);
  return {};
}

SlotActions Slot::OnGarbage(absl::string_view what) {
  if (doomed_) return {};
  v1::Failure failure;
  failure.set_cause(v1::FAILURE_CAUSE_INTERNAL);
  failure.set_message(absl::StrCat("the trainer's channel broke: ", what));
  failure.set_hint("worker and trainer must be of one version");
  SlotActions actions{FailureReport(key_, std::move(failure))};
  Append(actions, Kill());
  return actions;
}

SlotActions Slot::OnExited(process::Exit exit, std::string stderr_tail) {
  v1::RankExited exited;
  exited.set_exit_code(exit.code);
  exited.set_signal(exit.signal);
  exited.set_stderr_tail(std::move(stderr_tail));
  return End(std::move(exited), std::nullopt);
}

SlotActions Slot::End(v1::RankExited exited, std::optional<v1::Failure> failure) {
  SlotActions actions;
  if (failure.has_value()) actions.push_back(FailureReport(key_, *std::move(failure)));
  actions.push_back(Ended(key_, std::move(exited)));
  state_ = State::kEmpty;
  kill_at_.reset();
  if (const std::optional<v1::StartRank> next = std::exchange(successor_, std::nullopt)) Append(actions, OnStart(*next));
  return actions;
}

SlotActions Slot::Tick(Time now) {
  if (empty() || !kill_at_.has_value() || now < *kill_at_) return {};
  return Kill();
}

SlotActions Slot::Refuse(const v1::StartRank& order, absl::string_view why) const {
  const RankKey key = KeyOfStart(order);
  v1::Failure failure;
  failure.set_cause(v1::FAILURE_CAUSE_WORKER_LOST);
  failure.set_message(absl::StrCat("worker ", options_.worker_id, " can't start ", key.ToString(), ": ", std::string(why)));
  v1::RankExited exited;
  exited.set_exit_code(127);
  return {FailureReport(key, std::move(failure)), Ended(key, std::move(exited))};
}

Deliver Slot::FailureReport(const RankKey& key, v1::Failure failure) const {
  failure.set_rank(key.rank);
  failure.set_worker_id(options_.worker_id);
  failure.set_generation(key.generation);
  v1::RankReport out;
  SetKey(key, out);
  SetKey(key, *out.mutable_trainer());
  *out.mutable_trainer()->mutable_failure() = std::move(failure);
  return Deliver{std::move(out)};
}

std::optional<v1::RunningRank> Slot::running() const {
  if (empty()) return std::nullopt;
  v1::RunningRank rank;
  SetKey(key_, rank);
  rank.set_pid(pid_);
  rank.set_role(order_.plan().role());
  return rank;
}

}  // namespace pixelrec::agent
