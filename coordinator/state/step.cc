#include "coordinator/state/step.h"

#include <algorithm>

#include "coordinator/state/replay.h"
#include "coordinator/state/retention.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/time_limit.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

using google::protobuf::util::TimeUtil;

Outcome Step(State& state, const Event& event, Now now) {
  Outcome outcome;
  Stepper stepper(state, now, outcome);
  std::visit([&](const auto& e) { stepper.On(e); }, event);
  // Beats come by the thousand and, unless they show that a rank hangs, change nothing that the rest depends on.
  if (!std::holds_alternative<WorkerBeat>(event) || stepper.changed_jobs()) {
    stepper.Finish();
  }
  return outcome;
}

std::chrono::microseconds NextDeadline(const State& state) {
  auto next = std::chrono::microseconds::max();
  if (!state.workers.empty()) {
    // Often enough that a longer pause can only mean that this process stood still.
    next = state.last_tick + std::chrono::microseconds(state.policy.lease) / 4;
  }
  for (const auto& [id, worker] : state.workers) {
    if (!worker.lost) {
      next = std::min(next, worker.lease_until);
    }
    if (worker.rests_until > state.last_tick) {
      next = std::min(next, worker.rests_until);
    }
    for (const auto& [key, due] : worker.ranks) {
      next = std::min(next, due);
    }
  }
  for (uint64_t number : state.live) {
    const JobEntry& entry = state.jobs.at(number);
    next = std::min({next, entry.start_deadline.value_or(next), entry.kill_at.value_or(next), TimeLimitAt(entry)});
  }
  for (uint64_t number : state.backing_off) {
    const auto retry_at = state.jobs.at(number).retry_at;
    // One whose backoff is over waits for workers, not for time.
    if (retry_at > state.last_tick) {
      next = std::min(next, retry_at);
    }
  }
  return std::min(next, NextLookAtEnded(state));
}

void Stepper::Finish() {
  const std::vector<uint64_t> live(state_.live.begin(), state_.live.end());
  for (uint64_t number : live) {
    SettleGang(state_.jobs.at(number));
  }
  Schedule();
  for (uint64_t number : dirty_) {
    *outcome_.records.emplace_back().mutable_job() = state_.jobs.at(number).record;
  }
  for (const std::string& id : dirty_workers_) {
    *outcome_.records.emplace_back().mutable_worker() = state_.worker_records.at(id);
  }
  std::move(events_.begin(), events_.end(), std::back_inserter(outcome_.records));
}

JobEntry& Stepper::Touch(uint64_t number) {
  JobEntry& entry = state_.jobs[number];
  dirty_.insert(number);
  if (!state_.undo.jobs.contains(number)) {
    if (entry.record.number() == 0) {
      state_.undo.jobs[number] = std::nullopt;
    } else {
      // The history only grows, so its length is enough to undo it.
      std::vector<v1::JobEvent> events = std::move(entry.events);
      state_.undo.jobs[number] = std::make_pair(entry, events.size());
      entry.events = std::move(events);
    }
  }
  return entry;
}

WorkerRecord& Stepper::TouchWorkerRecord(const std::string& id) {
  dirty_workers_.insert(id);
  if (!state_.undo.worker_records.contains(id)) {
    auto it = state_.worker_records.find(id);
    state_.undo.worker_records[id] = it == state_.worker_records.end() ? std::nullopt : std::make_optional(it->second);
  }
  return state_.worker_records[id];
}

void Stepper::Reindex(uint64_t number) {
  due_ = true;
  state_.Reindex(number);
}

WorkerEntry& Stepper::TouchWorker(const std::string& id) {
  due_ = true;
  auto it = state_.workers.find(id);
  if (!state_.undo.workers.contains(id)) {
    state_.undo.workers[id] = it == state_.workers.end() ? std::nullopt : std::make_optional(it->second);
  }
  return state_.workers[id];
}

JobEntry* Stepper::FindById(const std::string& job_id) {
  auto it = state_.by_id.find(job_id);
  return it == state_.by_id.end() ? nullptr : &state_.jobs.at(it->second);
}

void Stepper::Send(const WorkerEntry& worker, v1::SessionResponse message) {
  // What a disconnected worker misses is sent again when it registers (Reconcile).
  if (worker.session != 0) {
    outcome_.actions.push_back(SendToWorker{worker.id, worker.session, std::move(message)});
  }
}

void Stepper::Append(JobEntry& entry, v1::JobEvent event) {
  event.set_sequence(entry.events.size() + 1);
  *event.mutable_time() = TimeUtil::MicrosecondsToTimestamp(now_.wall.count());
  event.set_job_id(entry.job().job_id());
  event.set_generation(entry.job().generation());
  *events_.emplace_back().mutable_event() = event;
  outcome_.actions.push_back(PublishEvent{entry.record.number(), event});
  entry.events.push_back(std::move(event));
}

void Stepper::Tell(JobEntry& entry, const std::string& notice, v1::NoticeSeverity severity) {
  v1::JobEvent event;
  event.mutable_notice()->set_severity(severity);
  event.mutable_notice()->set_text(notice);
  event.mutable_notice()->set_rank(-1);
  Append(entry, std::move(event));
}

void Stepper::SetState(JobEntry& entry, v1::JobState to, const std::string& reason, const ChangeFacts& facts) {
  v1::Job& job = *entry.record.mutable_job();
  v1::JobEvent event;
  event.mutable_state_change()->set_from(job.state());
  event.mutable_state_change()->set_to(to);
  event.mutable_state_change()->set_reason(reason);
  event.mutable_state_change()->set_ranks(facts.ranks);
  event.mutable_state_change()->set_from_step(facts.from_step);
  event.mutable_state_change()->set_preempted_by(facts.preempted_by);
  job.set_state(to);
  job.set_reason(reason);
  const auto wall = TimeUtil::MicrosecondsToTimestamp(now_.wall.count());
  if (to == v1::JOB_STATE_RUNNING && !job.has_start_time()) {
    *job.mutable_start_time() = wall;
  }
  if (IsTerminal(to)) {
    *job.mutable_finish_time() = wall;
  }
  Append(entry, std::move(event));
}

GangRank* FindRank(JobEntry& entry, int32_t rank, const WorkerEntry& worker) {
  for (GangRank& candidate : *entry.record.mutable_gang()->mutable_ranks()) {
    if (candidate.rank() == rank && candidate.worker_id() == worker.id && candidate.incarnation() == worker.incarnation) {
      return &candidate;
    }
  }
  return nullptr;
}

bool Contains(const RequestIds& ids, const std::string& id) {
  return !id.empty() && std::find(ids.begin(), ids.end(), id) != ids.end();
}

void Remember(RequestIds& ids, const std::string& id) {
  constexpr int kRemembered = 16;
  if (id.empty() || Contains(ids, id)) {
    return;
  }
  if (ids.size() >= kRemembered) {
    ids.erase(ids.begin());
  }
  *ids.Add() = id;
}

}  // namespace pixelrec::coordinator
