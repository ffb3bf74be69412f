// Sessions, leases and the loss of workers.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/rpc/reasons.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/stop.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

using google::protobuf::util::TimeUtil;
using std::chrono::microseconds;

void Stepper::On(const WorkerRegistered& registered) {
  auto found = state_.workers.find(registered.worker_id);
  if (found != state_.workers.end()) {
    const WorkerEntry& before = found->second;
    if (before.incarnation > registered.incarnation) {
      outcome_.actions.push_back(CloseSession{
          registered.worker_id, registered.session,
          rpc::Refuse(absl::StatusCode::kAborted, rpc::kStaleIncarnation,
                      absl::StrCat("worker '", registered.worker_id,
                                   "' has registered with a newer incarnation: two daemons use one worker id, or this "
                                   "one was replaced"))});
      return;
    }
    if (before.session != 0) {
      const bool newer_daemon = before.incarnation < registered.incarnation;
      outcome_.actions.push_back(CloseSession{
          before.id, before.session,
          newer_daemon ? rpc::Refuse(absl::StatusCode::kAborted, rpc::kStaleIncarnation,
                                     absl::StrCat("worker '", before.id, "' has registered with a newer incarnation"))
                       : rpc::Refuse(absl::StatusCode::kUnavailable, rpc::kSessionReplaced,
                                     absl::StrCat("worker '", before.id, "' has opened a newer session"))});
      TouchWorker(before.id).session = 0;
    }
    if (before.incarnation < registered.incarnation) {
      Lose(registered.worker_id, "its daemon was restarted");
    }
  }
  WorkerEntry& worker = TouchWorker(registered.worker_id);
  if (worker.id.empty() || worker.lost) {
    worker.there_since = now_.steady;
  }
  worker.id = registered.worker_id;
  if (auto record = state_.worker_records.find(worker.id); record != state_.worker_records.end()) {
    worker.drain = record->second.drain();
  }
  worker.incarnation = registered.incarnation;
  worker.session = registered.session;
  worker.info = registered.info;
  worker.info.clear_running();
  worker.lost = false;
  worker.lease_until = now_.steady + state_.policy.lease;
  worker.last_beat_wall = now_.wall;

  v1::SessionResponse hello;
  v1::Registered& terms = *hello.mutable_registered();
  *terms.mutable_lease() = TimeUtil::MillisecondsToDuration(state_.policy.lease.count());
  *terms.mutable_beat_interval() = TimeUtil::MillisecondsToDuration(state_.policy.beat_interval.count());
  *terms.mutable_hang_floor() = TimeUtil::MillisecondsToDuration(state_.policy.hang_floor.count());
  terms.set_hang_factor(state_.policy.hang_factor);
  *terms.mutable_orphan_grace() = TimeUtil::SecondsToDuration(state_.policy.orphan_grace.count());
  Send(worker, std::move(hello));

  std::set<RankKey> running;
  for (const v1::RunningRank& rank : registered.info.running()) {
    running.insert(RankKey{rank.job_id(), rank.generation(), rank.rank()});
  }
  Reconcile(worker, running);
}

// Compares what the worker runs with what it should: the current is adopted, anything else is stopped, what was lost on the way
// is sent again. Everything sent here may reach the worker a second time; all of it is idempotent.
void Stepper::Reconcile(WorkerEntry& worker, const std::set<RankKey>& running) {
  worker.ranks.clear();
  for (const RankKey& key : running) {
    JobEntry* entry = FindById(key.job_id);
    const bool current = entry != nullptr && entry->gang_lives() && entry->job().generation() == key.generation;
    GangRank* rank = current ? FindRank(*entry, key.rank, worker) : nullptr;
    worker.ranks[key] = microseconds::max();
    if (rank == nullptr || rank->ended()) {
      v1::SessionResponse stop;
      stop.mutable_stop_rank()->set_job_id(key.job_id);
      stop.mutable_stop_rank()->set_generation(key.generation);
      stop.mutable_stop_rank()->set_rank(key.rank);
      stop.mutable_stop_rank()->set_now(true);
      Send(worker, std::move(stop));
    }
  }
  for (uint64_t number : std::vector<uint64_t>(state_.live.begin(), state_.live.end())) {
    JobEntry& entry = state_.jobs.at(number);
    for (GangRank& rank : *entry.record.mutable_gang()->mutable_ranks()) {
      if (rank.worker_id() == worker.id && rank.incarnation() == worker.incarnation) {
        Resend(worker, entry, rank, running.contains(RankKey{entry.job().job_id(), entry.job().generation(), rank.rank()}));
      }
    }
  }
}

void Stepper::Resend(WorkerEntry& worker, JobEntry& entry, GangRank& rank, bool running) {
  const RankKey key{entry.job().job_id(), entry.job().generation(), rank.rank()};
  if (rank.rank() == 0) {
    for (const v1::Artifact& artifact : entry.record.unpublished()) {
      SendCommit(entry, rank.rank(), worker, artifact);
    }
  }
  if (rank.ended()) {
    return;
  }
  if (!running) {
    const bool heard_of = rank.pid() != 0 || entry.seen.contains({rank.rank(), worker.id});
    if (!heard_of && !rank.stopped()) {
      worker.ranks[key] = microseconds::max();
      SendStart(entry, rank, worker);
    } else {
      // It ended while the session was down: the report of its exit is on its way.
      worker.ranks[key] = now_.steady + state_.policy.lease;
    }
  }
  if (rank.stopped()) {
    SendStop(entry, rank, StopsAtOnce(entry));
  } else if (entry.record.gang().grows() && !entry.record.gang().has_failure()) {
    SendStop(entry, rank, false);
  } else if (rank.rank() != 0 && !rank.started() && entry.record.gang().has_rendezvous()) {
    v1::SessionResponse message;
    message.mutable_set_rendezvous()->set_job_id(key.job_id);
    message.mutable_set_rendezvous()->set_generation(key.generation);
    message.mutable_set_rendezvous()->set_rank(key.rank);
    *message.mutable_set_rendezvous()->mutable_rendezvous() = entry.record.gang().rendezvous();
    Send(worker, std::move(message));
  }
}

void Stepper::On(const WorkerBeat& beat) {
  auto it = state_.workers.find(beat.worker_id);
  if (it == state_.workers.end() || it->second.session != beat.session || it->second.lost) {
    return;
  }
  it->second.lease_until = now_.steady + state_.policy.lease;
  it->second.last_beat_wall = now_.wall;
  v1::SessionResponse ack;
  ack.mutable_beat_ack()->set_number(beat.number);
  Send(it->second, std::move(ack));
  NotePositions(it->second, beat.positions);
}

void Stepper::On(const WorkerDisconnected& disconnected) {
  auto it = state_.workers.find(disconnected.worker_id);
  if (it != state_.workers.end() && it->second.session == disconnected.session) {
    // It keeps its lease: a worker that only lost its connection registers again in time.
    TouchWorker(disconnected.worker_id).session = 0;
  }
}

void Stepper::On(const Tick&) {
  due_ = true;
  const microseconds lease = state_.policy.lease;
  // After a pause of this very process (SIGSTOP, a suspended machine) the beats lie unread in the sockets: one lease of grace.
  const bool stood_still = state_.last_tick != microseconds(0) && now_.steady - state_.last_tick > lease;
  state_.last_tick = now_.steady;
  std::vector<std::string> silent;
  std::vector<std::string> forgotten;
  for (auto& [id, worker] : state_.workers) {
    if (stood_still) {
      worker.lease_until = std::max(worker.lease_until, now_.steady + lease);
    } else if (!worker.lost && worker.lease_until <= now_.steady) {
      silent.push_back(id);
    } else if (worker.lost && worker.drain == v1::DRAIN_MODE_UNSPECIFIED &&
               worker.lost_since + state_.policy.remember_lost_worker <= now_.steady) {
      forgotten.push_back(id);
    }
  }
  for (const std::string& id : silent) {
    Lose(id, absl::StrFormat("no beat for %.1f s", std::chrono::duration<double>(lease).count()));
  }
  for (const std::string& id : forgotten) {
    TouchWorker(id);
    state_.workers.erase(id);
  }
  for (auto& [id, entry] : state_.workers) {
    std::vector<RankKey> vanished;
    for (const auto& [key, due] : entry.ranks) {
      if (due <= now_.steady) {
        vanished.push_back(key);
      }
    }
    for (const RankKey& key : vanished) {
      LoseRank(TouchWorker(id), key, "the worker no longer knows the rank and reported no exit");
    }
  }
  for (uint64_t number : std::vector<uint64_t>(state_.live.begin(), state_.live.end())) {
    SettleDeadlines(state_.jobs.at(number));
  }
  Grow();
  ForgetOldJobs();
}

void Stepper::Lose(const std::string& worker_id, const std::string& why) {
  WorkerEntry& worker = TouchWorker(worker_id);
  if (worker.lost) {
    return;
  }
  worker.lost = true;
  worker.lost_since = now_.steady;
  ++worker.losses;
  if (worker.session != 0) {
    outcome_.actions.push_back(CloseSession{worker.id, worker.session,
                                            rpc::Refuse(absl::StatusCode::kAborted, rpc::kWorkerSilent,
                                                        absl::StrCat("worker '", worker.id, "': ", why, "; register again"))});
    worker.session = 0;
  }
  while (!worker.ranks.empty()) {
    LoseRank(worker, RankKey(worker.ranks.begin()->first), why);
  }
}

void Stepper::LoseRank(WorkerEntry& worker, const RankKey& key, const std::string& why) {
  worker.ranks.erase(key);
  JobEntry* found = FindById(key.job_id);
  if (found == nullptr || !found->gang_lives() || found->job().generation() != key.generation) {
    return;
  }
  JobEntry& entry = Touch(found->record.number());
  GangRank* rank = FindRank(entry, key.rank, worker);
  if (rank == nullptr || rank->ended()) {
    return;
  }
  rank->set_ended(true);
  rank->set_lost(true);
  // Also if it had been told to stop: the loss of a worker is what broke the collective of the others, and never what a stop
  // does.
  v1::Failure failure;
  failure.set_cause(v1::FAILURE_CAUSE_WORKER_LOST);
  failure.set_message(absl::StrCat("its worker was lost: ", why));
  failure.set_hint("see the worker's own log, and whether its machine or network is down");
  FailGang(entry, rank, std::move(failure));
}

}  // namespace pixelrec::coordinator
