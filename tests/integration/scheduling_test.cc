// Jobs that leave their workers and come back, with real daemons, the real pixelrecctl and scripted trainers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "tests/integration/cluster.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr char kStopsWithACheckpoint[] = "hello;store;started;step 5;await_stop;stage recovery/step-5;await_committed;exit 0";
constexpr char kEnds[] = "hello;store;started;result;exit 0";

class SchedulingTest : public testing::Test {
 protected:
  explicit SchedulingTest(int workers = 2) : cluster_({.trainer = FAKE_TRAINER, .workers = workers}) {}

  struct Run {
    int exit_code = -1;
    std::string output;
  };
  Run Ctl(const std::string& arguments) {
    const fs::path out = cluster_.dir() / "ctl.out";
    const int status = std::system(
        absl::StrCat(PIXELREC_BIN_DIR "/pixelrecctl --server ", cluster_.address(), " ", arguments, " > ", out.string(), " 2>&1")
            .c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, storage::ReadFile(out).value_or("")};
  }
  v1::JobSpec Job(const std::string& name, int priority) {
    v1::JobSpec spec = cluster_.Spec(name, {kStopsWithACheckpoint});
    spec.mutable_scheduling()->set_priority(priority);
    return spec;
  }
  // What the job's next generation does.
  void Next(const std::string& name, const std::string& script) {
    std::ofstream(cluster_.dir() / (name + ".0.script")) << script << "\n";
  }
  v1::WorkerState StateOf(const std::string& worker) {
    for (const v1::Worker& found : cluster_.Workers()) {
      if (found.worker_id() == worker) return found.state();
    }
    return v1::WORKER_STATE_UNSPECIFIED;
  }
  v1::Job AwaitSteps(const std::string& id) {
    return cluster_.Await(
        id, [](const v1::Job& job) { return job.state() == v1::JOB_STATE_RUNNING && job.progress().step() >= 5; }, "its steps");
  }

  Cluster cluster_;
};

class OneWorker : public SchedulingTest {
 protected:
  OneWorker() : SchedulingTest(1) {}
};

TEST_F(SchedulingTest, ADrainedWorkersJobGoesOnElsewhereFromACheckpoint) {
  const std::string id = cluster_.Submit(Job("moved", 50)).job_id();
  const v1::Job before = AwaitSteps(id);
  const std::string worker = before.ranks(0).worker_id();
  Next("moved", "hello;store;started;await_stop;exit 0");
  const Run drain = Ctl("workers drain " + worker);
  EXPECT_EQ(drain.exit_code, 0);
  EXPECT_THAT(drain.output, HasSubstr(absl::StrCat("worker ", worker, " is being drained")));
  const v1::Job after = cluster_.Await(
      id, [&](const v1::Job& job) { return job.state() == v1::JOB_STATE_RUNNING && job.generation() > before.generation(); },
      "RUNNING elsewhere");
  EXPECT_NE(after.ranks(0).worker_id(), worker);
  EXPECT_EQ(after.checkpoint().step(), 5);
  EXPECT_EQ(after.infrastructure_restarts() + after.user_restarts() + after.preemptions(), 0);
  EXPECT_EQ(StateOf(worker), v1::WORKER_STATE_DRAINED);

  // It stays drained over a restart of the coordinator and of its own daemon.
  cluster_.KillCoordinator();
  cluster_.Kill(worker.back() - '0');
  cluster_.StartCoordinator();
  cluster_.StartWorker(worker.back() - '0');
  cluster_.Await(
      id, [&](const v1::Job&) { return StateOf(worker) == v1::WORKER_STATE_DRAINED; }, "the worker's return");
  EXPECT_THAT(Ctl("workers list").output, HasSubstr("DRAINED"));

  // With both drained the job waits, and says why; undrained, it goes on.
  EXPECT_EQ(Ctl("workers drain " + after.ranks(0).worker_id()).exit_code, 0);
  EXPECT_THAT(cluster_.AwaitState(id, v1::JOB_STATE_PENDING).reason(), HasSubstr("needs 1 worker; 0 idle, 2 drained"));
  Next("moved", kEnds);
  EXPECT_EQ(Ctl("workers undrain " + worker).exit_code, 0);
  cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Ctl("workers drain nobody").exit_code, 3);
}

TEST_F(OneWorker, AJobOfHigherPriorityPreemptsThroughACheckpoint) {
  const std::string low = cluster_.Submit(Job("low", 10)).job_id();
  AwaitSteps(low);
  Next("low", kEnds);
  v1::JobSpec spec = Job("high", 90);
  const std::string high = cluster_.Submit(spec).job_id();
  const v1::Job running = cluster_.AwaitState(high, v1::JOB_STATE_RUNNING);
  const v1::Job victim = cluster_.Get(low);
  EXPECT_EQ(victim.state(), v1::JOB_STATE_PENDING);
  EXPECT_EQ(victim.preemptions(), 1);
  EXPECT_EQ(victim.checkpoint().step(), 5);
  EXPECT_THAT(Story(cluster_.Events(low)),
              HasSubstr(absl::StrCat("notice preempted by job ", high, " (priority 90, this one 10)")));
  EXPECT_THAT(Story(cluster_.Events(high)), HasSubstr(absl::StrCat("notice preempts job ", low, " (priority 10, this one 90)")));

  // It gives the worker back; then the victim goes on from where it stopped.
  EXPECT_EQ(Ctl("cancel high").exit_code, 0);
  cluster_.AwaitState(high, v1::JOB_STATE_CANCELLED);
  const v1::Job done = cluster_.AwaitState(low, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(done.infrastructure_restarts() + done.user_restarts(), 0);
}

TEST_F(OneWorker, APausedJobKeepsItsPlaceOnDiskAndNoWorker) {
  const std::string id = cluster_.Submit(Job("paused", 50)).job_id();
  AwaitSteps(id);
  EXPECT_EQ(Ctl("pause paused").exit_code, 0);
  cluster_.AwaitState(id, v1::JOB_STATE_PAUSED);
  cluster_.AwaitWorkers(1);
  EXPECT_THAT(Ctl("list").output, HasSubstr("PAUSED"));
  EXPECT_EQ(Ctl("delete paused").exit_code, 4);
  cluster_.KillCoordinator();
  cluster_.StartCoordinator();
  EXPECT_EQ(cluster_.Get(id).state(), v1::JOB_STATE_PAUSED);
  cluster_.AwaitWorkers(1);
  Next("paused", kEnds);
  EXPECT_EQ(Ctl("resume paused").exit_code, 0);
  EXPECT_EQ(cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED).checkpoint().step(), 5);
  const Run deleted = Ctl("delete paused");
  EXPECT_EQ(deleted.exit_code, 0);
  const fs::path output = cluster_.dir() / "results" / "paused";
  EXPECT_EQ(deleted.output, absl::StrCat("job ", id, " is deleted; its files stay in ", output.string(), "\n"));
  EXPECT_TRUE(fs::exists(output / "recovery" / "step-5" / "manifest.json"));
  EXPECT_EQ(Ctl("describe paused").exit_code, 3);
}

TEST_F(OneWorker, ATimeLimitEndsAJobWithACheckpointAndAHint) {
  v1::JobSpec spec = Job("limited", 50);
  spec.mutable_scheduling()->mutable_time_limit()->set_seconds(1);
  const std::string id = cluster_.Submit(spec).job_id();
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.failure().cause(), v1::FAILURE_CAUSE_TIME_LIMIT);
  EXPECT_THAT(job.failure().hint(), HasSubstr("output_policy: resume to go on from step 5"));
  EXPECT_EQ(job.checkpoint().step(), 5);
  EXPECT_GE(job.run_time().seconds(), 1);
}

}  // namespace
}  // namespace pixelrec::integration
