#include "coordinator/engine/instruments.h"

#include "absl/strings/strip.h"
#include "common/metrics/catalogue.h"
#include "common/metrics/family.h"
#include "coordinator/state/failures.h"
#include "coordinator/state/view.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

namespace {

std::string StateName(v1::JobState state) { return std::string(absl::StripPrefix(v1::JobState_Name(state), "JOB_STATE_")); }

// Of the failure that the history tells before the state change `event`. (The gang may be the next one already.)
std::string CauseBefore(const JobEntry& entry, const v1::JobEvent& event) {
  for (uint64_t i = event.sequence() - 1; i > 0; --i) {
    if (entry.events[i - 1].has_failure()) {
      return CauseName(entry.events[i - 1].failure().cause());
    }
  }
  return "UNSPECIFIED";
}

double Seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

struct Instruments::Families {
  explicit Families(prometheus::Registry& r)
      : jobs(r, metrics::kJobs),
        job_info(r, metrics::kJobInfo),
        queue_wait(r, metrics::kJobQueueWaitSeconds),
        transitions(r, metrics::kJobStateTransitionsTotal),
        restarts(r, metrics::kJobRestartsTotal),
        preemptions(r, metrics::kJobPreemptionsTotal),
        recovery(r, metrics::kJobRecoverySeconds),
        progress(r, metrics::kJobProgressRatio),
        eta(r, metrics::kJobEtaSeconds),
        heartbeat(r, metrics::kWorkerLastHeartbeatTimestampSeconds),
        workers(r, metrics::kWorkers),
        subscribers(r, metrics::kStreamSubscribers),
        dropped(r, metrics::kStreamDroppedEventsTotal),
        commit(r, metrics::kJournalCommitSeconds),
        size(r, metrics::kJournalSizeBytes) {}

  metrics::Family<prometheus::Gauge, 1> jobs;
  metrics::Family<prometheus::Gauge, 3> job_info;
  metrics::Family<prometheus::Histogram, 0> queue_wait;
  metrics::Family<prometheus::Counter, 2> transitions;
  metrics::Family<prometheus::Counter, 2> restarts;
  metrics::Family<prometheus::Counter, 0> preemptions;
  metrics::Family<prometheus::Histogram, 0> recovery;
  metrics::Family<prometheus::Gauge, 1> progress;
  metrics::Family<prometheus::Gauge, 1> eta;
  metrics::Family<prometheus::Gauge, 1> heartbeat;
  metrics::Family<prometheus::Gauge, 1> workers;
  metrics::Family<prometheus::Gauge, 0> subscribers;
  metrics::Family<prometheus::Counter, 1> dropped;
  metrics::Family<prometheus::Histogram, 0> commit;
  metrics::Family<prometheus::Gauge, 0> size;
};

Instruments::Instruments(prometheus::Registry& registry) : families_(std::make_unique<Families>(registry)) {}
Instruments::~Instruments() = default;

void Instruments::Replayed(const State& state) {
  for (const auto& [number, entry] : state.jobs) {
    families_->jobs.With({StateName(entry.job().state())}).Increment();
    if (!entry.ended()) {
      BeginJob(entry);
    }
  }
  CountWorkers(state);
}

void Instruments::Stepped(const State& state, const Event& event, const Outcome& outcome, Now now) {
  for (const Action& action : outcome.actions) {
    if (const auto* publish = std::get_if<PublishEvent>(&action)) {
      OnJobEvent(*state.Find(publish->job_number), publish->event, now);
    }
  }
  if (const JobEntry* deleted =
          outcome.records.empty() || !outcome.deletion.has_value() ? nullptr : state.Find(outcome.deletion->number())) {
    families_->jobs.With({StateName(deleted->job().state())}).Decrement();
  }
  if (const auto* beat = std::get_if<WorkerBeat>(&event)) {
    if (auto it = state.workers.find(beat->worker_id); it != state.workers.end()) {
      families_->heartbeat.With({beat->worker_id}).Set(Seconds(it->second.last_beat_wall));
    }
  } else if (!std::holds_alternative<RankReported>(event) || !outcome.records.empty()) {
    CountWorkers(state);
  }
}

void Instruments::CountWorkers(const State& state) {
  std::map<v1::WorkerState, int> count;
  for (const auto& [id, worker] : state.workers) {
    ++count[StateOf(worker)];
    if (workers_.insert(id).second) {
      families_->heartbeat.With({id}).Set(Seconds(worker.last_beat_wall));
    }
  }
  for (const std::string_view name : metrics::kWorkers.labels[0].known) {
    v1::WorkerState worker_state = v1::WORKER_STATE_UNSPECIFIED;
    if (v1::WorkerState_Parse("WORKER_STATE_" + std::string(name), &worker_state)) {
      families_->workers.With({std::string(name)}).Set(count[worker_state]);
    }
  }
  std::erase_if(workers_, [&](const std::string& id) {
    const bool forgotten = !state.workers.contains(id);
    if (forgotten) {
      families_->heartbeat.Remove({id});
    }
    return forgotten;
  });
}

void Instruments::OnJobEvent(const JobEntry& entry, const v1::JobEvent& event, Now now) {
  const std::string& id = entry.job().job_id();
  if (event.has_state_change()) {
    OnStateChange(entry, event, now);
  } else if (event.has_progress() && !entry.ended()) {
    if (event.progress().total_steps() > 0) {
      families_->progress.With({id}).Set(static_cast<double>(event.progress().step()) /
                                         static_cast<double>(event.progress().total_steps()));
    }
    families_->eta.With({id}).Set(event.progress().eta_seconds());
  }
}

void Instruments::OnStateChange(const JobEntry& entry, const v1::JobEvent& event, Now now) {
  const v1::StateChange& change = event.state_change();
  const uint64_t number = entry.record.number();
  const bool failed = change.to() == v1::JOB_STATE_RECOVERING || change.to() == v1::JOB_STATE_FAILED;
  const std::string cause = failed ? CauseBefore(entry, event) : "none";
  families_->transitions.With({StateName(change.to()), cause}).Increment();
  families_->jobs.With({StateName(change.to())}).Increment();
  if (change.from() == v1::JOB_STATE_UNSPECIFIED) {
    BeginJob(entry);
  } else {
    families_->jobs.With({StateName(change.from())}).Decrement();
  }
  if (change.from() == v1::JOB_STATE_PENDING && event.generation() == 1) {
    const int64_t created = google::protobuf::util::TimeUtil::TimestampToMicroseconds(entry.job().create_time());
    families_->queue_wait.With({}).Observe(Seconds(now.wall - std::chrono::microseconds(created)));
  }
  if (!change.preempted_by().empty()) {
    families_->preemptions.With({}).Increment();
  }
  if (change.to() == v1::JOB_STATE_RECOVERING) {
    families_->restarts.With({entry.job().job_id(), cause}).Increment();
    restart_causes_[number].insert(cause);
    recovering_since_.emplace(number, now.steady);
  } else if (change.to() == v1::JOB_STATE_RUNNING) {
    if (auto it = recovering_since_.find(number); it != recovering_since_.end()) {
      families_->recovery.With({}).Observe(Seconds(now.steady - it->second));
      recovering_since_.erase(it);
    }
  } else if (IsTerminal(change.to())) {
    EndJob(entry);
  }
}

void Instruments::BeginJob(const JobEntry& entry) {
  families_->job_info.With({entry.job().job_id(), entry.job().spec().name(), entry.job().spec().output_dir()}).Set(1);
}

void Instruments::EndJob(const JobEntry& entry) {
  const std::string& id = entry.job().job_id();
  const uint64_t number = entry.record.number();
  families_->job_info.Remove({id, entry.job().spec().name(), entry.job().spec().output_dir()});
  families_->progress.Remove({id});
  families_->eta.Remove({id});
  for (const std::string& cause : restart_causes_[number]) {
    families_->restarts.Remove({id, cause});
  }
  restart_causes_.erase(number);
  recovering_since_.erase(number);
}

void Instruments::Committed(std::chrono::nanoseconds duration, int64_t journal_bytes) {
  families_->commit.With({}).Observe(Seconds(duration));
  families_->size.With({}).Set(static_cast<double>(journal_bytes));
}

void Instruments::Subscribers(int change) { families_->subscribers.With({}).Increment(change); }

void Instruments::Dropped(const std::string& reason, uint64_t events) {
  families_->dropped.With({reason}).Increment(static_cast<double>(events));
}

}  // namespace pixelrec::coordinator
