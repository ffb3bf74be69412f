#include "tests/coordinator/state/simulation.h"

#include <algorithm>

namespace pixelrec::coordinator {

using std::chrono::milliseconds;

namespace {

// 2026-01-01 00:00:00 UTC.
constexpr std::chrono::seconds kEpoch{1767225600};

}  // namespace

Simulation::Simulation(Policy policy)
    : policy_(policy), state_(policy), replayed_(policy), now_{kEpoch, std::chrono::seconds(1000)} {
  FinishReplay(state_, now_);
}

Outcome Simulation::Step(const Event& event) {
  Outcome outcome = coordinator::Step(state_, event, now_);
  const bool refused = refuse_next_;
  if (refuse_next_) {
    refuse_next_ = false;
    state_.Rollback();
    outcome.actions.clear();
    outcome.records.clear();
    outcome.deletion.reset();
  } else {
    for (const Record& record : outcome.records) {
      journal_.push_back(record.SerializeAsString());
      EXPECT_TRUE(ApplyRecord(replayed_, journal_.back()).ok());
    }
    state_.Accept();
  }
  for (const Action& action : outcome.actions) {
    if (const auto* close = std::get_if<CloseSession>(&action)) {
      Worker& worker = workers_[close->worker_id];
      if (worker.session == close->session) {
        worker.session = 0;
      }
    }
  }
  // Beats and most ticks decide nothing.
  if (refused || !outcome.records.empty() || !outcome.actions.empty()) {
    CheckReplay();
  }
  return outcome;
}

void Simulation::CheckReplay() const {
  ASSERT_EQ(SnapshotRecords(replayed_), SnapshotRecords(state_));
  ASSERT_EQ(replayed_.live, state_.live);
  ASSERT_EQ(replayed_.waiting, state_.waiting);
  ASSERT_EQ(replayed_.next_number <= state_.next_number, true);
  ASSERT_EQ(replayed_.by_request, state_.by_request);
  ASSERT_EQ(replayed_.by_name, state_.by_name);
  ASSERT_EQ(replayed_.by_id, state_.by_id);
  ASSERT_EQ(replayed_.by_output_dir, state_.by_output_dir);
}

void Simulation::Restart() {
  State replayed(policy_);
  for (const std::string& record : journal_) {
    ASSERT_TRUE(ApplyRecord(replayed, record).ok());
  }
  state_ = std::move(replayed);
  FinishReplay(state_, now_);
  for (auto& [id, worker] : workers_) {
    worker.session = 0;
  }
}

Outcome Simulation::Connect(const std::string& id, uint64_t incarnation, const std::string& host,
                            const std::vector<v1::RunningRank>& running) {
  Worker& worker = workers_[id];
  if (worker.incarnation != incarnation) {
    worker.sequences.clear();
  }
  const uint64_t session = ++last_session_;
  WorkerRegistered registered{id, incarnation, session, {}};
  registered.info.set_host(host);
  registered.info.set_advertise_address("10.0.0.1");
  for (const v1::RunningRank& rank : running) {
    *registered.info.add_running() = rank;
  }
  Outcome outcome = Step(registered);
  auto it = state_.workers.find(id);
  if (it != state_.workers.end() && it->second.session == session) {
    worker.incarnation = incarnation;
    worker.session = session;
  }
  return outcome;
}

Outcome Simulation::Disconnect(const std::string& id) {
  Worker& worker = workers_[id];
  const uint64_t session = worker.session;
  worker.session = 0;
  return Step(WorkerDisconnected{id, session});
}

int32_t Simulation::RankOf(const std::string& worker, const JobEntry& entry) const {
  for (const GangRank& rank : entry.record.gang().ranks()) {
    if (rank.worker_id() == worker) {
      return rank.rank();
    }
  }
  return 0;
}

Outcome Simulation::Report(const std::string& worker_id, const std::string& job, v1::RankReport report) {
  Worker& worker = workers_[worker_id];
  const JobEntry& entry = Job(job);
  report.set_job_id(entry.job().job_id());
  if (report.generation() == 0) {
    report.set_generation(entry.job().generation());
    report.set_rank(RankOf(worker_id, entry));
  }
  uint64_t& sequence = worker.sequences[RankKey{report.job_id(), report.generation(), report.rank()}];
  if (report.sequence() == 0) {
    report.set_sequence(sequence + 1);
  }
  sequence = std::max(sequence, report.sequence());
  return Step(RankReported{worker_id, worker.session, report});
}

Outcome Simulation::Report(const std::string& worker, const std::string& job, v1::TrainerReport trainer) {
  v1::RankReport report;
  *report.mutable_trainer() = std::move(trainer);
  return Report(worker, job, std::move(report));
}

Outcome Simulation::Beat(const std::string& worker, const std::string& job, v1::RankPosition position) {
  const JobEntry& entry = Job(job);
  position.set_job_id(entry.job().job_id());
  position.set_rank(RankOf(worker, entry));
  if (position.generation() == 0) position.set_generation(entry.job().generation());
  return Step(WorkerBeat{worker, workers_[worker].session, 1, {position}});
}

Outcome Simulation::Exit(const std::string& worker, const std::string& job, int code, int signal) {
  v1::RankReport report;
  report.mutable_exited()->set_exit_code(code);
  report.mutable_exited()->set_signal(signal);
  return Report(worker, job, std::move(report));
}

std::vector<Outcome> Simulation::Advance(milliseconds duration) {
  std::vector<Outcome> outcomes;
  while (duration > milliseconds(0)) {
    const milliseconds part = std::min(duration, milliseconds(250));
    duration -= part;
    now_.wall += part;
    now_.steady += part;
    for (const auto& [id, worker] : workers_) {
      if (worker.session != 0 && !worker.muted) {
        Step(WorkerBeat{id, worker.session, 1});
      }
    }
    outcomes.push_back(Step(Tick{}));
  }
  return outcomes;
}

const JobEntry& Simulation::Job(const std::string& name) const {
  absl::StatusOr<uint64_t> number = FindJob(state_, name);
  EXPECT_TRUE(number.ok()) << number.status();
  return state_.jobs.at(*number);
}

v1::RunningRank Simulation::Running(const std::string& worker, const std::string& job) const {
  const JobEntry& entry = Job(job);
  v1::RunningRank running;
  running.set_job_id(entry.job().job_id());
  running.set_generation(entry.job().generation());
  running.set_rank(RankOf(worker, entry));
  running.set_role(entry.record.gang().role());
  return running;
}

v1::JobSpec Simulation::Spec(const std::string& name, int workers) {
  v1::JobSpec spec;
  spec.set_name(name);
  spec.set_output_dir("/results/" + name);
  spec.mutable_distributed()->set_min_workers(workers);
  spec.mutable_distributed()->set_max_workers(workers);
  spec.mutable_scheduling()->set_priority(50);
  spec.mutable_scheduling()->mutable_max_restarts()->set_user(0);
  spec.mutable_scheduling()->mutable_max_restarts()->set_infrastructure(20);
  spec.mutable_checkpoint()->set_keep(2);
  return spec;
}

Outcome Simulation::Submit(const v1::JobSpec& spec, const std::string& request_id) {
  return Step(coordinator::Submit{request_id, spec, 8});
}

}  // namespace pixelrec::coordinator
