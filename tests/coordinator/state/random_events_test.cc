// Long random histories against the promises that hold whatever happens. Simulation itself checks after every step that replaying
// the journal gives the state; here: invariants, snapshots, rollback, and that every job comes to an end once nothing fails any
// more.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/coordinator/state/simulation.h"

namespace pixelrec::coordinator {
namespace {

using std::chrono::milliseconds;

class RandomEvents : public ::testing::TestWithParam<unsigned> {
 protected:
  int Draw(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  std::string AnyWorker() { return "w" + std::to_string(Draw(4)); }

  void Act() {
    switch (Draw(20)) {
      case 0:
        return Submit();
      case 1:
        return Cancel();
      case 2:
        Connect(AnyWorker(), Draw(6) == 0);
        return;
      case 3:
        return Disconnect();
      case 4:
        sim_.Mute(AnyWorker(), Draw(3) == 0);
        return;
      case 5:
        sim_.Advance(milliseconds(Draw(1500)));
        return;
      case 6:
        if (Draw(10) == 0) sim_.Restart();
        return;
      case 7:
        if (Draw(3) == 0) refused_ = true;
        return;
      case 8:
        return Pause();
      case 9:
        return Resume();
      case 10:
        return Drain();
      case 11:
        return Delete();
      default:
        return Report();
    }
  }

  void Drain() {
    if (Draw(2) == 0) {
      MaybeRefuse();
      sim_.Step(DrainWorker{AnyWorker(), static_cast<v1::DrainMode>(Draw(3)), Draw(2) == 0 ? "" : "d" + std::to_string(Draw(9))});
    } else {
      MaybeRefuse();
      sim_.Step(UndrainWorker{AnyWorker(), Draw(2) == 0 ? "" : "d" + std::to_string(Draw(9))});
    }
  }

  void Delete() {
    MaybeRefuse();
    sim_.Step(DeleteJob{"j" + std::to_string(Draw(5)), Draw(2) == 0 ? "" : "x" + std::to_string(Draw(9))});
  }

  void Pause() {
    if (Draw(3) == 0) {
      MaybeRefuse();
      sim_.Step(PauseJob{"j" + std::to_string(Draw(5)), Draw(3) == 0, Draw(2) == 0 ? "" : "p" + std::to_string(Draw(9))});
    }
  }

  void Resume() {
    MaybeRefuse();
    sim_.Step(ResumeJob{"j" + std::to_string(Draw(5)), Draw(2) == 0 ? "" : "p" + std::to_string(Draw(9))});
  }

  void Submit() {
    if (sim_.state().jobs.size() > 12) return;
    v1::JobSpec spec = Simulation::Spec("j" + std::to_string(Draw(5)), 1 + Draw(3));
    spec.mutable_scheduling()->set_priority(Draw(3) * 10);
    spec.mutable_scheduling()->mutable_max_restarts()->set_user(Draw(2));
    spec.mutable_scheduling()->mutable_max_restarts()->set_preemption(Draw(3) - 1);
    if (Draw(3) == 0) spec.mutable_scheduling()->mutable_time_limit()->set_seconds(1 + Draw(20));
    spec.mutable_distributed()->set_max_workers(spec.distributed().min_workers() + Draw(2));
    MaybeRefuse();
    sim_.Submit(spec, Draw(2) == 0 ? "" : "r" + std::to_string(Draw(20)));
  }

  void Cancel() {
    if (Draw(4) == 0) {
      MaybeRefuse();
      sim_.Step(coordinator::Cancel{"j" + std::to_string(Draw(5)), Draw(2) == 0, ""});
    }
  }

  // With what the worker would truly run: the ranks it was given, unless its daemon is a new one.
  void Connect(const std::string& id, bool new_daemon) {
    uint64_t& incarnation = incarnations_.try_emplace(id, 1).first->second;
    incarnation += new_daemon;
    std::vector<v1::RunningRank> running;
    auto it = sim_.state().workers.find(id);
    if (!new_daemon && it != sim_.state().workers.end() && Draw(4) != 0) {
      for (const auto& [key, due] : it->second.ranks) {
        v1::RunningRank& rank = running.emplace_back();
        rank.set_job_id(key.job_id);
        rank.set_generation(key.generation);
        rank.set_rank(key.rank);
      }
    }
    MaybeRefuse();
    sim_.Connect(id, incarnation, "host-" + std::to_string(id.back() % 2), running);
  }

  void Disconnect() {
    const std::string id = AnyWorker();
    if (incarnations_.contains(id)) sim_.Disconnect(id);
  }

  void Report() {
    std::vector<std::pair<std::string, RankKey>> ranks;
    for (const auto& [id, worker] : sim_.state().workers) {
      for (const auto& [key, due] : worker.ranks) {
        if (worker.session != 0) ranks.emplace_back(id, key);
      }
    }
    if (ranks.empty()) return;
    const auto& [worker, key] = ranks[static_cast<size_t>(Draw(static_cast<int>(ranks.size())))];
    v1::RankReport report;
    report.set_generation(key.generation);
    report.set_rank(key.rank);
    Fill(report);
    if (Draw(10) == 0) report.set_sequence(static_cast<uint64_t>(1 + Draw(3)));  // a repeat
    MaybeRefuse();
    sim_.Report(worker, key.job_id, report);
  }

  void Fill(v1::RankReport& report) {
    v1::TrainerReport& trainer = *report.mutable_trainer();
    switch (Draw(12)) {
      case 0:
        trainer.mutable_hello()->set_pid(1 + Draw(1000));
        break;
      case 1:
        trainer.mutable_store_opened()->set_port(4000);
        break;
      case 2:
        trainer.mutable_training_started();
        break;
      case 3:
        trainer.mutable_progress()->set_step(Draw(100));
        trainer.mutable_progress()->set_section(Draw(3) == 0 ? "validate" : "train");
        break;
      case 4:
        trainer.mutable_dataset_prepared()->set_data_hash(Draw(20) == 0 ? "h2" : "h1");
        break;
      case 5:
        trainer.mutable_epoch_result()->set_epoch(1 + Draw(3));
        break;
      case 6: {
        v1::Artifact& artifact = *trainer.mutable_artifact_staged();
        artifact.set_kind(static_cast<v1::ArtifactKind>(1 + Draw(3)));
        artifact.set_path("/r/" + std::to_string(Draw(6)));
        artifact.set_step(Draw(100));
        break;
      }
      case 7:
        trainer.mutable_failure()->set_cause(Draw(2) == 0 ? v1::FAILURE_CAUSE_COLLECTIVE : v1::FAILURE_CAUSE_BAD_DATA);
        break;
      case 8:
        trainer.mutable_result()->set_samples(1);
        break;
      case 9:
        report.mutable_artifact_published()->set_path("/r/" + std::to_string(Draw(6)));
        report.mutable_artifact_published()->set_generation(report.generation());
        break;
      case 10:
        report.mutable_publish_failed()->set_cause(v1::FAILURE_CAUSE_DISK_FULL);
        break;
      default:
        report.mutable_exited()->set_exit_code(Draw(2));
        report.mutable_exited()->set_signal(Draw(4) == 0 ? 9 : 0);
    }
  }

  void MaybeRefuse() {
    if (refused_) sim_.refuse_next();
    refused_ = false;
  }

  void CheckInvariants() {
    const State& state = sim_.state();
    std::map<std::string, std::set<std::string>> used;  // worker -> live jobs with a living rank on it
    for (const auto& [number, entry] : state.jobs) {
      const v1::Job& job = entry.job();
      EXPECT_GE(job.generation(), generations_[number]) << "generations never fall";
      generations_[number] = job.generation();
      EXPECT_EQ(state.live.contains(number), entry.gang_lives());
      EXPECT_FALSE(job.state() == v1::JOB_STATE_PAUSED && (entry.gang_lives() || !entry.record.has_pause()));
      for (size_t i = 0; i < entry.events.size(); ++i) {
        ASSERT_EQ(entry.events[i].sequence(), i + 1);
      }
      if (entry.ended()) {
        EXPECT_TRUE(job.has_finish_time());
        EXPECT_EQ(entry.record.gang().has_failure() && job.state() == v1::JOB_STATE_SUCCEEDED, false);
      }
      EXPECT_EQ(state.places.contains(number), entry.waits());
      const int budget = job.spec().scheduling().max_restarts().preemption();
      EXPECT_TRUE(budget < 0 || job.preemptions() <= budget) << job.job_id();
      if (job.has_checkpoint()) {
        ASSERT_GT(entry.record.checkpoints_size(), 0);
        EXPECT_EQ(entry.record.checkpoints().rbegin()->path(), job.checkpoint().path());
      }
      int recovery = 0;
      for (const v1::Artifact& artifact : entry.record.checkpoints()) {
        recovery += artifact.kind() == v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT;
      }
      EXPECT_LE(recovery, 2);
      if (entry.gang_lives()) {
        if (entry.record.gang().role() == v1::TRAINER_ROLE_TRAIN) {
          EXPECT_GE(entry.record.gang().ranks_size(), job.spec().distributed().min_workers());
          EXPECT_LE(entry.record.gang().ranks_size(), job.spec().distributed().max_workers());
        }
        for (const GangRank& rank : entry.record.gang().ranks()) {
          if (!rank.ended()) used[rank.worker_id()].insert(job.job_id());
        }
      }
    }
    EXPECT_EQ(state.places.size(), state.waiting.size());
    for (const auto& [worker, jobs] : used) {
      EXPECT_LE(jobs.size(), 1u) << worker << " works for two jobs";
      ASSERT_TRUE(state.workers.contains(worker)) << worker;
    }
  }

  // Everyone is healthy from now on: workers come back and trainers do what they are told.
  void Heal() {
    for (const auto& [number, entry] : std::map<uint64_t, JobEntry>(sim_.state().jobs)) {
      if (entry.record.has_pause()) sim_.Step(ResumeJob{entry.job().job_id(), ""});
    }
    for (int i = 0; i < 4; ++i) sim_.Step(UndrainWorker{"w" + std::to_string(i), ""});
    for (int i = 0; i < 4; ++i) {
      const std::string id = "w" + std::to_string(i);
      sim_.Mute(id, false);
      Connect(id, true);
    }
    for (int round = 0; round < 400 && !AllEnded(); ++round) {
      for (int i = 0; i < 4; ++i) {
        const std::string id = "w" + std::to_string(i);
        if (sim_.session(id) == 0) Connect(id, true);
        FinishRank(id);
      }
      sim_.Advance(milliseconds(500));
    }
  }

  bool AllEnded() const {
    return std::all_of(sim_.state().jobs.begin(), sim_.state().jobs.end(), [](const auto& job) { return job.second.ended(); });
  }

  void FinishRank(const std::string& id) {
    const WorkerEntry& worker = sim_.state().workers.at(id);
    if (worker.ranks.empty()) return;
    const RankKey key = worker.ranks.begin()->first;
    const JobEntry& entry = sim_.Job(key.job_id);
    auto say = [&](auto fill) {
      v1::RankReport report;
      report.set_generation(key.generation);
      report.set_rank(key.rank);
      fill(report);
      sim_.Report(id, key.job_id, report);
    };
    if (entry.record.gang().role() == v1::TRAINER_ROLE_PREPARE) {
      say([](v1::RankReport& r) { r.mutable_trainer()->mutable_dataset_prepared()->set_data_hash("h1"); });
    } else {
      say([](v1::RankReport& r) { r.mutable_trainer()->mutable_training_started(); });
      const std::vector<v1::Artifact> unpublished(entry.record.unpublished().begin(), entry.record.unpublished().end());
      for (const v1::Artifact& artifact : unpublished) {
        say([&](v1::RankReport& r) { *r.mutable_artifact_published() = artifact; });
      }
      say([](v1::RankReport& r) { r.mutable_trainer()->mutable_result()->set_samples(1); });
    }
    say([](v1::RankReport& r) { r.mutable_exited()->set_exit_code(0); });
  }

  std::mt19937 random_{GetParam()};
  // Jobs grow within the length of a history.
  static Policy Hurried() {
    Policy policy;
    policy.elastic_grow_after = milliseconds(500);
    return policy;
  }
  Simulation sim_{Hurried()};
  bool refused_ = false;
  std::map<std::string, uint64_t> incarnations_;
  std::map<uint64_t, uint64_t> generations_;
};

TEST_P(RandomEvents, KeepThePromises) {
  for (int i = 0; i < 4; ++i) {
    Connect("w" + std::to_string(i), false);
  }
  for (int step = 0; step < 250; ++step) {
    Act();
    CheckInvariants();
    if (HasFailure()) FAIL() << "at step " << step;
  }
  // A snapshot is the same state.
  State restored{Policy()};
  for (const std::string& record : SnapshotRecords(sim_.state())) {
    ASSERT_TRUE(ApplyRecord(restored, record).ok());
  }
  EXPECT_EQ(SnapshotRecords(restored), SnapshotRecords(sim_.state()));

  Heal();
  for (const auto& [number, entry] : sim_.state().jobs) {
    EXPECT_TRUE(entry.ended()) << ViewJob(sim_.state(), entry, sim_.now()).ShortDebugString();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomEvents, ::testing::Range(1u, 31u));

}  // namespace
}  // namespace pixelrec::coordinator
