// How soon a failure is seen and training goes on, with the real daemons and trainers on this machine: 2 ranks over Gloo, the
// small job of tests/integration. Not a test: prints one line per figure, without and with warm spare trainers.  recovery_bench
// [kills]
//
// All instants are the coordinator's own, of events and of points of the job's metrics, so a step counts once it is known there.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "tests/integration/cluster.h"
#include "tests/integration/small_job.h"

namespace pixelrec::integration {
namespace {

using google::protobuf::util::TimeUtil;

double Seconds(const google::protobuf::Timestamp& time) {
  return 1e-6 * static_cast<double>(TimeUtil::TimestampToMicroseconds(time));
}

double Wall() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

void Print(const char* what, std::vector<double> seconds) {
  if (seconds.empty()) {
    std::printf("  %-52s none\n", what);
    return;
  }
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    return 1e3 * seconds[static_cast<size_t>(share * static_cast<double>(seconds.size() - 1) + 0.5)];
  };
  std::printf("  %-52s p50 %6.0f ms, p95 %6.0f ms, most %6.0f ms (%zu)\n", what, at(0.5), at(0.95), at(1), seconds.size());
}

// Long enough that the bench ends it.
v1::JobSpec Job(const Cluster& cluster, const std::string& name, int epochs) {
  v1::JobSpec spec = SmallJob(cluster, name, epochs);
  spec.mutable_checkpoint()->set_every_steps(5);
  spec.mutable_scheduling()->mutable_max_restarts()->set_infrastructure(-1);
  return spec;
}

class Recovery {
 public:
  explicit Recovery(bool spares)
      : cluster_({.trainer = std::filesystem::path(PIXELREC_BIN_DIR) / "pixelrec-trainer",
                  .patience = std::chrono::minutes(2),
                  .coordinator_yaml = "",
                  .worker_arguments = spares ? std::vector<std::string>{"--warm-spare"} : std::vector<std::string>{}}) {
    WriteSmallData(cluster_.dir(), 1600);
    cluster_.AwaitState(cluster_.Submit(Job(cluster_, "prepares", 1)).job_id(), v1::JOB_STATE_SUCCEEDED);
  }

  void Run(int kills) {
    Settle();
    const double submitted = Wall();
    id_ = cluster_.Submit(Job(cluster_, "killed", 1000)).job_id();
    for (int i = 0; i < kills; ++i) {
      const v1::Job job = AwaitSteps();
      Settle();
      kills_[job.generation()] = Wall();
      kill(static_cast<pid_t>(job.ranks(i % 2).pid()), SIGKILL);
      AwaitGeneration(job.generation() + 1);
    }
    LoseAWorker();
    AwaitSteps();
    cluster_.Cancel(id_, /*now=*/true);
    cluster_.AwaitState(id_, v1::JOB_STATE_CANCELLED);
    Report(submitted);
  }

 private:
  // A spare is there again, and the trainer has a checkpoint of its own to lose.
  static void Settle() { std::this_thread::sleep_for(std::chrono::seconds(4)); }

  v1::Job AwaitSteps() {
    const int64_t from = cluster_.Get(id_).progress().step();
    return cluster_.Await(
        id_, [&](const v1::Job& j) { return j.state() == v1::JOB_STATE_RUNNING && j.progress().step() > from + 5; }, "steps");
  }
  void AwaitGeneration(uint64_t generation) {
    cluster_.Await(
        id_, [&](const v1::Job& j) { return j.generation() >= generation; }, absl::StrCat("generation ", generation));
  }

  // Its daemon and the trainer stand still, as if the host were gone; TCP doesn't tell.
  void LoseAWorker() {
    const v1::Job job = AwaitSteps();
    lost_generation_ = job.generation();
    lost_at_ = Wall();
    for (const auto& rank : job.ranks()) {
      if (rank.worker_id() == "worker-1") kill(static_cast<pid_t>(rank.pid()), SIGSTOP);
    }
    cluster_.Stop(1);
    cluster_.Await(
        id_, [&](const v1::Job& j) { return j.state() != v1::JOB_STATE_RUNNING; }, "the loss");
    cluster_.Continue(1);
  }

  void Report(double submitted) {
    std::map<uint64_t, double> seen, first_step;
    for (const v1::JobEvent& event : cluster_.Events(id_)) {
      if (event.has_failure()) seen.try_emplace(event.failure().generation(), Seconds(event.time()));
    }
    for (const v1::MetricPoint& point : cluster_.Metrics(id_)) {
      if (point.has_training()) first_step.try_emplace(point.generation(), Seconds(point.time()));
    }
    std::vector<double> deaths, recoveries;
    for (const auto& [generation, at] : kills_) {
      if (seen.contains(generation)) deaths.push_back(seen.at(generation) - at);
      if (first_step.contains(generation + 1)) recoveries.push_back(first_step.at(generation + 1) - at);
    }
    Print("submit -> first step (dataset prepared)", {first_step.begin()->second - submitted});
    Print("trainer's death -> known to the coordinator", deaths);
    Print("kill -9 of a rank -> first new step", recoveries);
    Print("host gone silent -> worker lost (lease 2 s)", {seen.at(lost_generation_) - lost_at_});
  }

  Cluster cluster_;
  std::string id_;
  std::map<uint64_t, double> kills_;  // by generation
  uint64_t lost_generation_ = 0;
  double lost_at_ = 0;
};

}  // namespace
}  // namespace pixelrec::integration

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int kills = argc > 1 ? std::atoi(argv[1]) : 20;
  for (const bool spares : {false, true}) {
    if (argc > 2 && spares != (std::string(argv[2]) == "spares")) continue;
    std::printf("%s\n", spares ? "with warm spares" : "without spares");
    pixelrec::integration::Recovery(spares).Run(kills);
  }
  return testing::UnitTest::GetInstance()->Failed() ? 1 : 0;
}
