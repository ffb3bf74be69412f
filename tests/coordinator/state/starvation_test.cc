// Jobs that come for ever, of higher priority and more than the workers can do, don't keep another from its turn, nor from its
// end.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/coordinator/state/simulation.h"

namespace pixelrec::coordinator {
namespace {

using std::chrono::seconds;

struct Kind {
  std::string name;
  int workers;
  int priority;
  int trains;     // seconds
  int limit = 0;  // seconds; 0: none
};

class Starvation : public testing::Test {
 protected:
  Starvation() {
    sim_.Connect("w0");
    sim_.Connect("w1");
  }

  static Policy FastAging() {
    Policy policy;
    policy.aging = seconds(10);
    return policy;
  }

  void Submit(const Kind& kind) {
    v1::JobSpec spec = Simulation::Spec(kind.name, kind.workers);
    spec.mutable_scheduling()->set_priority(kind.priority);
    if (kind.limit > 0) spec.mutable_scheduling()->mutable_time_limit()->set_seconds(kind.limit);
    sim_.Submit(spec);
    trains_[kind.name] = kind.trains;
  }

  // Every rank does in each second what it is there for.
  void Work(const std::string& worker) {
    const WorkerEntry& entry = sim_.state().workers.at(worker);
    if (entry.ranks.empty()) return;
    const std::string job = entry.ranks.begin()->first.job_id;
    const JobEntry& found = sim_.Job(job);
    v1::TrainerReport report;
    if (found.record.gang().role() == v1::TRAINER_ROLE_PREPARE) {
      if (!found.record.gang().has_stop()) {
        report.mutable_dataset_prepared()->set_data_hash("h");
        sim_.Report(worker, job, report);
      }
      sim_.Exit(worker, job, 0);
    } else if (found.job().state() == v1::JOB_STATE_STARTING) {
      report.mutable_training_started();
      sim_.Report(worker, job, report);
    } else if (found.record.gang().has_stop()) {
      sim_.Exit(worker, job, 0);
    } else if (ViewJob(sim_.state(), found, sim_.now()).run_time().seconds() >= trains_.at(found.job().spec().name())) {
      report.mutable_result()->set_samples(1);
      sim_.Report(worker, job, report);
      sim_.Exit(worker, job, 0);
    }
  }

  // Seconds until `patient`, submitted behind a queue, has succeeded while a `crowd` job is submitted every few seconds.
  int Run(const Kind& patient, Kind crowd, int every, int most) {
    const std::string name = crowd.name;
    for (int second = 0; second < most; ++second) {
      if (second % every == 0) {
        crowd.name = name + std::to_string(second);
        Submit(crowd);
      }
      if (second == 10) Submit(patient);
      sim_.Advance(seconds(1));
      Work("w0");
      Work("w1");
      if (second > 10 && sim_.Job(patient.name).job().state() == v1::JOB_STATE_SUCCEEDED) return second;
      for (const auto& [number, entry] : std::map<uint64_t, JobEntry>(sim_.state().jobs)) {
        finished_ += entry.job().state() == v1::JOB_STATE_SUCCEEDED;
        if (entry.ended()) sim_.Step(DeleteJob{entry.job().job_id(), ""});
      }
    }
    ADD_FAILURE() << patient.name << " starves: " << ViewJob(sim_.state(), sim_.Job(patient.name), sim_.now()).ShortDebugString();
    return most;
  }

  Simulation sim_{FastAging()};
  std::map<std::string, int> trains_;
  int finished_ = 0;
};

TEST_F(Starvation, SmallJobsDontStarveALargeOne) {
  const int took = Run({"large", 2, 50, 60}, {"small", 1, 60, 20}, 5, 700);
  EXPECT_GT(finished_, 10);
  EXPECT_EQ(sim_.Job("large").job().preemptions(), 0) << "what waiting has brought it, it keeps";
  std::printf("a large job among small ones: done after %d s, behind %d of them\n", took, finished_);
}

TEST_F(Starvation, LargeJobsDontStarveASmallOne) {
  const int took = Run({"small", 1, 50, 60}, {"large", 2, 60, 20}, 10, 700);
  EXPECT_GT(finished_, 5);
  EXPECT_EQ(sim_.Job("small").job().preemptions(), 0);
  std::printf("a small job among large ones: done after %d s, behind %d of them\n", took, finished_);
}

// Those that pass by their time limits don't push the start of the one in front away before them.
TEST_F(Starvation, JobsWithTimeLimitsDontStarveALargeOne) {
  const int took = Run({"large", 2, 50, 60}, {"small", 1, 50, 20, 25}, 5, 700);
  EXPECT_GT(finished_, 1);
  std::printf("a large job among small ones with time limits: done after %d s, behind %d of them\n", took, finished_);
}

}  // namespace
}  // namespace pixelrec::coordinator
