// The daemon towards its coordinator: it registers, loses it, finds it again, leaves.
#include <signal.h>

#include <fstream>

#include "common/process/memory.h"
#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "tests/worker/agent/agent_fixture.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(AgentTest, RegistersWithWhatItIs) {
  FakeCoordinator coordinator;
  Start(coordinator);
  const v1::SessionRequest request = coordinator.AwaitRegistration();
  EXPECT_EQ(request.worker_id(), "w1");
  EXPECT_EQ(request.incarnation(), 42u);
  EXPECT_EQ(request.register_().pid(), getpid());
  EXPECT_EQ(request.register_().device(), "cpu");
  EXPECT_EQ(request.register_().version(), "test");
  EXPECT_GT(request.register_().memory_bytes(), 0);
  EXPECT_EQ(request.register_().running_size(), 0);
  coordinator.AwaitBeats(3);
  ready_.WaitForNotification();
}

TEST_F(AgentTest, ACoordinatorThatDiesAndReturnsLosesAndDoublesNothing) {
  FakeCoordinator coordinator;
  Start(coordinator);
  const fs::path first = dir_ / "first", second = dir_ / "second";
  coordinator.Send(StartRank(absl::StrCat("hello;started;train ", first.string(), ";notice a;notice b;await_file ",
                                          second.string(), ";epoch 1;notice c;exit 7")));
  coordinator.AwaitReport(IsStarted);
  coordinator.AwaitReport([](const v1::RankReport& report) { return report.trainer().has_progress(); });
  // It receives these and dies before it has acknowledged them.
  coordinator.AcknowledgeReports(false);
  std::ofstream(first) << "";
  coordinator.AwaitReport([](const v1::RankReport& report) { return report.trainer().notice().text() == "b"; });
  coordinator.Stop();
  std::ofstream(second) << "";
  while (Log().find("trainer exited with 7") == std::string::npos) std::this_thread::yield();
  coordinator.AcknowledgeReports(true);
  coordinator.Start();
  coordinator.AwaitReport(IsExit);
  const std::vector<v1::RankReport> reports = coordinator.reports();
  EXPECT_EQ(Story(reports), "hello; started; a; b; epoch 1; c; exit 7; ");
  const auto count =
      std::count_if(reports.begin(), reports.end(), [](const auto& r) { return r.trainer().notice().text() == "a"; });
  EXPECT_EQ(count, 2) << "what was not acknowledged is repeated, under the same sequence";
}

TEST_F(AgentTest, ALostSessionLeavesTheTrainerAloneAndNamesItAgain) {
  FakeCoordinator coordinator;
  Start(coordinator);
  const fs::path go = dir_ / "go";
  coordinator.Send(StartRank(absl::StrCat("hello;train ", go.string(), ";exit 0")));
  const int64_t pid = coordinator.AwaitReport(IsHello).trainer().hello().pid();
  coordinator.AwaitRegistration();
  for (int i = 0; i < 3; ++i) {
    coordinator.Stop();
    coordinator.Start();
    const v1::RegisterWorker again = coordinator.AwaitRegistration().register_();
    ASSERT_EQ(again.running_size(), 1);
    EXPECT_EQ(again.running(0).job_id(), "job-1");
    EXPECT_EQ(again.running(0).generation(), 1u);
    EXPECT_EQ(again.running(0).pid(), pid);
    EXPECT_EQ(again.running(0).role(), v1::TRAINER_ROLE_TRAIN);
  }
  std::ofstream(go) << "";
  EXPECT_EQ(coordinator.AwaitReport(IsExit).exited().exit_code(), 0);
}

TEST_F(AgentTest, ASilentCoordinatorIsDialledAgain) {
  FakeCoordinator coordinator({.lease_ms = 300, .beat_ms = 50});
  Start(coordinator);
  coordinator.AwaitRegistration();
  coordinator.AcknowledgeBeats(false);
  EXPECT_EQ(coordinator.AwaitRegistration().incarnation(), 42u);
}

TEST_F(AgentTest, OrphansAreStoppedAfterTheGrace) {
  FakeCoordinator coordinator({.orphan_ms = 300});
  Start(coordinator);
  coordinator.Send(StartRank("hello;await_stop;notice stopped;exit 0"));
  coordinator.AwaitReport(IsHello);
  const std::string address = coordinator.address();
  coordinator.Stop();
  // Nothing tells when the grace is over but the trainer's end, which is in its log and in the worker's.
  while (Log().find("trainer exited with 0") == std::string::npos) std::this_thread::yield();
  EXPECT_THAT(Log(), HasSubstr("no coordinator for"));
  coordinator.Start();
  EXPECT_EQ(coordinator.AwaitReport(IsExit).exited().exit_code(), 0);
  EXPECT_EQ(Story(coordinator.reports()), "hello; failure; stopped; exit 0; ");
}

TEST_F(AgentTest, StopsItsTrainerBeforeItLeaves) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;await_stop;notice saved;exit 0"));
  coordinator.AwaitReport(IsHello);
  agent_->RequestStop();
  loop_.join();
  EXPECT_TRUE(result_.ok()) << result_;
  EXPECT_EQ(Story(coordinator.reports()), "hello; failure; saved; exit 0; ");
  coordinator.AwaitNoSession();
}

TEST_F(AgentTest, GivesWayToANewerWorkerOfItsName) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;ignore_stop"));
  coordinator.AwaitReport(IsHello);
  coordinator.CloseSession(rpc::ToGrpc(rpc::Refuse(absl::StatusCode::kAborted, rpc::kStaleIncarnation, "newer")));
  loop_.join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(result_.message()), HasSubstr("'w1' is used by a newer worker"));
}

TEST_F(AgentTest, ReturnsAfterItsSessionWasEndedForSilence) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.AwaitRegistration();
  coordinator.CloseSession(rpc::ToGrpc(rpc::Refuse(absl::StatusCode::kAborted, rpc::kWorkerSilent, "register again")));
  coordinator.AwaitRegistration();
}

TEST_F(AgentTest, IsReadyAndKeepsTryingWithoutACoordinator) {
  FakeCoordinator coordinator;
  coordinator.Stop();
  Start(coordinator);
  ready_.WaitForNotification();
  EXPECT_THAT(Log(), HasSubstr("can't register at the coordinator"));
  coordinator.Start();
  coordinator.AwaitRegistration();
}

TEST_F(AgentTest, AFloodOfProgressNeverFillsMemoryWhileTheCoordinatorIsAway) {
  FakeCoordinator coordinator;
  Start(coordinator);
  const fs::path go = dir_ / "go";
  coordinator.Send(StartRank(absl::StrCat("hello;await_file ", go.string(), ";step 20000;notice end;exit 0")));
  coordinator.AwaitReport(IsHello);
  coordinator.Stop();
  [[maybe_unused]] const int64_t before = *process::ResidentBytes(0);
  std::ofstream(go) << "";
  while (Log().find("trainer exited with 0") == std::string::npos) std::this_thread::yield();
#if !defined(__SANITIZE_ADDRESS__) && !defined(PIXELREC_TSAN)  // which keep freed memory for a while
  EXPECT_LT(*process::ResidentBytes(0) - before, 20 << 20);
#endif
  coordinator.Start();
  coordinator.AwaitReport(IsExit);
  EXPECT_EQ(Story(coordinator.reports()), "hello; end; exit 0; ");
  EXPECT_LT(coordinator.reports().size(), 20u);
}

TEST(AgentCreateTest, RefusesWhatItCanNotUseInOneLine) {
  prometheus::Registry registry;
  const auto create = [&](const fs::path& work_dir, const fs::path& trainer, const std::string& coordinator) {
    Agent::Options options;
    options.registry = &registry;
    options.config.work_dir = work_dir;
    options.config.dataset_cache_dir = testing::TempDir();
    options.config.trainer = trainer;
    options.config.coordinator = coordinator;
    return Agent::Create(std::move(options)).status();
  };
  const absl::Status unwritable = create("/proc/work", FAKE_TRAINER, "127.0.0.1:1");
  EXPECT_THAT(std::string(unwritable.message()), HasSubstr("/proc/work"));
  const absl::Status missing = create(testing::TempDir(), "/nowhere/trainer", "127.0.0.1:1");
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  const absl::Status address = create(testing::TempDir(), FAKE_TRAINER, "nonsense");
  EXPECT_EQ(address.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pixelrec::agent
