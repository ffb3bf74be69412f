// `pixelrecctl local` with the real daemons: up, down, what dies comes back, nothing is left behind.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/storage/unique_fd.h"
#include "ctl/local/cluster_state.h"
#include "ctl/local/restart_backoff.h"
#include "nlohmann/json.hpp"
#include "tests/ctl/ctl_process.h"

namespace pixelrec::ctl {
namespace {

using nlohmann::json;

class Local : public CtlProcess {
 protected:
  void SetUp() override {
    CtlProcess::SetUp();
    // No rank is started here; the worker only wants to see a program.
    extra_environment_ = {"PIXELREC_TRAINER=/bin/true"};
  }
  void TearDown() override {
    Run({"local", "down"});
    CtlProcess::TearDown();
  }

  json Up(int workers) {
    const CtlRun run = Run({"local", "up", "--workers", std::to_string(workers), "-o", "json"});
    EXPECT_EQ(run.exit_code, 0) << run.output;
    return json::parse(run.output, nullptr, /*allow_exceptions=*/false);
  }

  static storage::UniqueFd Watch(pid_t pid) { return storage::UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }
  static bool Ended(const storage::UniqueFd& pidfd) {
    pollfd fd = {pidfd.get(), POLLIN, 0};
    return poll(&fd, 1, 20000) == 1;
  }
};

TEST_F(Local, GoesUpIsFoundAndGoesDown) {
  EXPECT_EQ(Run({"local", "status"}).exit_code, 6);
  const json up = Up(2);
  ASSERT_TRUE(up.is_object());
  EXPECT_TRUE(up["ready"]);
  ASSERT_EQ(up["workers"].size(), 2u);
  const storage::UniqueFd coordinator = Watch(up["coordinator"]["pid"]);
  const storage::UniqueFd worker = Watch(up["workers"][1]["pid"]);
  // Other commands find it without being told.
  EXPECT_EQ(Run({"list"}).output, "no jobs\n");
  const CtlRun workers = Run({"workers", "list"});
  EXPECT_TRUE(absl::StrContains(workers.output, "local-0  IDLE") && absl::StrContains(workers.output, "local-1  IDLE"))
      << workers.output;
  // A second `up` finds it running.
  EXPECT_EQ(Up(2), up);
  const CtlRun other = Run({"local", "up", "--workers", "3"});
  EXPECT_EQ(other.exit_code, 4);
  EXPECT_TRUE(absl::StrContains(other.output, "a local cluster with 2 workers without warm spares is running")) << other.output;
  EXPECT_EQ(Run({"local", "down"}).exit_code, 0);
  EXPECT_TRUE(Ended(coordinator));
  EXPECT_TRUE(Ended(worker));
  EXPECT_EQ(Run({"local", "status"}).exit_code, 6);
  EXPECT_EQ(Run({"local", "down"}).exit_code, 0);
}

TEST_F(Local, ItsWorkersKeepWarmSparesIfAsked) {
  const json up = json::parse(Run({"local", "up", "--workers", "1", "--warm-spare", "-o", "json"}).output);
  EXPECT_TRUE(up["warm_spare"]);
  // The program of this test ends at once, which the worker says.
  bool said = false;
  for (int i = 0; i < 4000 && !said; ++i, poll(nullptr, 0, 5)) {
    std::ifstream log(dir_ / "local" / "logs" / "local-0.log");
    said = absl::StrContains(std::string(std::istreambuf_iterator<char>(log), {}), "the spare trainer ended by exit code 0");
  }
  EXPECT_TRUE(said);
  const CtlRun other = Run({"local", "up", "--workers", "1"});
  EXPECT_EQ(other.exit_code, 4);
  EXPECT_TRUE(absl::StrContains(other.output, "with warm spares")) << other.output;
}

TEST_F(Local, ACoordinatorThatIsKilledComesBackOnItsPort) {
  const json up = Up(1);
  ASSERT_TRUE(up.is_object());
  const storage::UniqueFd coordinator = Watch(up["coordinator"]["pid"]);
  kill(up["coordinator"]["pid"].get<pid_t>(), SIGKILL);
  ASSERT_TRUE(Ended(coordinator));
  // A command started meanwhile waits for it.
  EXPECT_EQ(Run({"list"}).output, "no jobs\n");
  const json now = json::parse(Run({"local", "status", "-o", "json"}).output);
  EXPECT_EQ(now["server"], up["server"]);
  EXPECT_EQ(now["coordinator"]["metrics"], up["coordinator"]["metrics"]);
  EXPECT_EQ(now["coordinator"]["restarts"], 1);
  EXPECT_EQ(now["workers"][0]["pid"], up["workers"][0]["pid"]);
}

TEST_F(Local, NothingOutlivesAKilledSupervisor) {
  const json up = Up(1);
  ASSERT_TRUE(up.is_object());
  const storage::UniqueFd coordinator = Watch(up["coordinator"]["pid"]);
  const storage::UniqueFd worker = Watch(up["workers"][0]["pid"]);
  kill(up["supervisor_pid"].get<pid_t>(), SIGKILL);
  EXPECT_TRUE(Ended(coordinator));
  EXPECT_TRUE(Ended(worker));
  // Its local.json is still there and fools nobody.
  EXPECT_EQ(Run({"local", "status"}).exit_code, 6);
  EXPECT_TRUE(Up(1)["ready"]);
}

TEST_F(Local, ADaemonThatCannotStartIsNamed) {
  extra_environment_ = {"PIXELREC_TRAINER=/nowhere/pixelrec-trainer"};
  const CtlRun run = Run({"local", "up", "--workers", "1"});
  EXPECT_EQ(run.exit_code, 6);
  EXPECT_TRUE(absl::StartsWith(run.output, "error: local-0 ended with exit code")) << run.output;
  EXPECT_TRUE(absl::StrContains(run.output, "/nowhere/pixelrec-trainer")) << run.output;
  EXPECT_EQ(Run({"local", "status"}).exit_code, 6);
}

TEST_F(Local, AFolderThatCannotBeMadeIsNamed) {
  const std::string file = Write("file", "");
  const CtlRun run = Run({"local", "up", "--dir", file + "/sub"});
  EXPECT_NE(run.exit_code, 0);
  EXPECT_TRUE(absl::StartsWith(run.output, "error: ")) << run.output;
  EXPECT_TRUE(absl::StrContains(run.output, file)) << run.output;
}

TEST(ClusterStateTest, ALockDecidesWhoRuns) {
  const std::filesystem::path dir = std::filesystem::path(testing::TempDir()) / ("lock." + std::to_string(getpid()));
  std::filesystem::create_directories(dir);
  EXPECT_TRUE(absl::IsNotFound(RunningCluster(dir).status()));
  ClusterState state;
  state.supervisor = 1;
  ASSERT_TRUE(WriteClusterState(dir, state).ok());
  EXPECT_TRUE(absl::IsNotFound(RunningCluster(dir).status()));
  std::filesystem::remove_all(dir);
}

TEST(RestartBackoffTest, GrowsWhileAProcessKeepsEndingAndForgets) {
  RestartBackoff backoff;
  const absl::Time t = absl::UnixEpoch();
  EXPECT_EQ(backoff.AfterExit(t, t), absl::Milliseconds(100));
  EXPECT_EQ(backoff.AfterExit(t, t), absl::Milliseconds(200));
  for (int i = 0; i < 10; ++i) backoff.AfterExit(t, t);
  EXPECT_EQ(backoff.AfterExit(t, t), absl::Seconds(5));
  EXPECT_EQ(backoff.AfterExit(t, t + absl::Seconds(10)), absl::Milliseconds(100));
}

}  // namespace
}  // namespace pixelrec::ctl
