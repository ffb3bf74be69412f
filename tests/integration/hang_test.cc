// Ranks that hang: a real trainer stopped with SIGSTOP is named, killed, and the job goes on as if nothing had been.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>

#include "google/protobuf/util/time_util.h"
#include "tests/integration/cluster.h"
#include "tests/integration/small_job.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::TimeUtil;
using testing::HasSubstr;

constexpr int kRanks = 3, kEpochs = 2;

v1::JobSpec Job(const Cluster& cluster, const std::string& name) {
  v1::JobSpec spec = SmallJob(cluster, name, kEpochs);
  spec.mutable_distributed()->set_workers(kRanks);
  spec.mutable_checkpoint()->set_every_steps(5);
  return spec;
}

double Milliseconds(const google::protobuf::Timestamp& time) {
  return static_cast<double>(TimeUtil::TimestampToMilliseconds(time));
}

double WallMilliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

TEST(HangTest, AStoppedRankIsNamedAndTheJobGoesOn) {
  Cluster cluster({.trainer = fs::path(PIXELREC_BIN_DIR) / "pixelrec-trainer",
                   .workers = kRanks,
                   .patience = std::chrono::minutes(2),
                   .coordinator_yaml = ""});  // the limits that users have
  WriteSmallData(cluster.dir(), 400);
  const std::string undisturbed = cluster.Submit(Job(cluster, "undisturbed")).job_id();
  const v1::Job want = cluster.AwaitState(undisturbed, v1::JOB_STATE_SUCCEEDED);

  const std::string id = cluster.Submit(Job(cluster, "stopped")).job_id();
  const v1::Job before = cluster.Await(
      id, [](const v1::Job& j) { return j.state() == v1::JOB_STATE_RUNNING && j.progress().step() >= 12; }, "step 12");
  ASSERT_EQ(before.ranks_size(), kRanks);
  const double stopped_at = WallMilliseconds();
  kill(static_cast<pid_t>(before.ranks(1).pid()), SIGSTOP);
  const v1::Job after = cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);

  const std::vector<v1::JobEvent> events = cluster.Events(id);
  const auto failure = std::find_if(events.begin(), events.end(), [](const v1::JobEvent& e) { return e.has_failure(); });
  ASSERT_NE(failure, events.end());
  EXPECT_EQ(failure->failure().cause(), v1::FAILURE_CAUSE_HANG) << failure->failure().message();
  EXPECT_EQ(failure->failure().rank(), 1);
  EXPECT_EQ(failure->failure().worker_id(), before.ranks(1).worker_id());
  EXPECT_THAT(failure->failure().message(), HasSubstr("its process is stopped"));
  EXPECT_EQ(std::count_if(events.begin(), events.end(), [](const v1::JobEvent& e) { return e.has_failure(); }), 1);
  const double seen_ms = Milliseconds(failure->time()) - stopped_at;
  std::printf("seen %.2f s after SIGSTOP: %s\n", seen_ms / 1e3, failure->failure().message().c_str());
  EXPECT_GT(seen_ms, 4000);  // the section was entered before it was stopped
  EXPECT_LT(seen_ms, 8000);  // of 5 s, on a machine that does other things besides

  EXPECT_EQ(after.infrastructure_restarts(), 1);
  EXPECT_EQ(after.result().sample_digest(), want.result().sample_digest());
  EXPECT_EQ(after.result().samples(), want.result().samples());
}

}  // namespace
}  // namespace pixelrec::integration
