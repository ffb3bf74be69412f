// The whole daemon in this process: a real gRPC session with a fake coordinator, real trainer processes that follow a script.
#include "worker/agent/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/process/memory.h"
#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "common/storage/atomic_file.h"
#include "google/protobuf/util/time_util.h"
#include "tests/common/temporary_folder.h"
#include "tests/worker/agent/fake_coordinator.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;
using testing::HasSubstr;

bool IsExit(const v1::RankReport& report) { return report.has_exited(); }
bool IsHello(const v1::RankReport& report) { return report.trainer().has_hello(); }
bool IsStarted(const v1::RankReport& report) { return report.trainer().has_training_started(); }
bool IsFailure(const v1::RankReport& report) { return report.trainer().has_failure(); }

// Every report but progress, in words, without repeats of a sequence.
std::string Story(const std::vector<v1::RankReport>& reports) {
  std::map<RankKey, uint64_t> seen;
  std::string story;
  for (const v1::RankReport& report : reports) {
    uint64_t& last = seen[KeyOf(report)];
    if (report.sequence() <= last) continue;
    last = report.sequence();
    if (report.trainer().has_progress()) continue;
    const v1::TrainerReport& trainer = report.trainer();
    story += report.has_exited()               ? absl::StrCat("exit ", report.exited().exit_code())
             : report.has_artifact_published() ? "published"
             : report.has_publish_failed()     ? "publish failed"
             : trainer.has_notice()            ? trainer.notice().text()
             : trainer.has_hello()             ? "hello"
             : trainer.has_training_started()  ? "started"
             : trainer.has_epoch_result()      ? absl::StrCat("epoch ", trainer.epoch_result().epoch())
             : trainer.has_artifact_staged()   ? "staged"
             : trainer.has_result()            ? "result"
             : trainer.has_failure()           ? "failure"
                                               : "other";
    story += "; ";
  }
  return story;
}

class AgentTest : public testing::Test {
 protected:
  void TearDown() override { Leave(); }

  Agent::Options Options(const FakeCoordinator& coordinator) {
    Agent::Options options;
    options.config.coordinator = coordinator.address();
    options.config.worker_id = "w1";
    options.config.work_dir = dir_ / "work";
    options.config.dataset_cache_dir = dir_ / "cache";
    options.config.trainer = FAKE_TRAINER;
    options.config.threads = 1;
    options.version = "test";
    options.incarnation = 42;
    options.registry = &registry_;
    options.stop_grace = milliseconds(5'000);
    options.on_ready = [this] { ready_.Notify(); };
    options.log = [this](absl::string_view text) {
      absl::MutexLock lock(&mutex_);
      absl::StrAppend(&log_, text, "\n");
    };
    return options;
  }
  void Start(Agent::Options options) {
    auto agent = Agent::Create(std::move(options));
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
    loop_ = std::thread([this] { result_ = agent_->Run(); });
  }
  void Start(const FakeCoordinator& coordinator) { Start(Options(coordinator)); }
  // Twice: a trainer that still runs is killed.
  void Leave() {
    if (!loop_.joinable()) return;
    agent_->RequestStop();
    agent_->RequestStop();
    loop_.join();
  }

  v1::SessionResponse StartRank(const std::string& script, uint64_t generation = 1, int rank = 0,
                                const std::string& job = "job-1") {
    v1::SessionResponse response;
    v1::StartRank& order = *response.mutable_start_rank();
    order.set_job_id(job);
    order.set_generation(generation);
    order.mutable_plan()->set_role(v1::TRAINER_ROLE_TRAIN);
    order.mutable_plan()->set_rank(rank);
    (*order.mutable_plan()->mutable_spec()->mutable_labels())["script"] = script;
    order.mutable_plan()->mutable_spec()->set_output_dir((dir_ / "out").string());
    return response;
  }
  v1::SessionResponse StopRank(uint64_t generation, bool now, int grace_ms = 10'000) {
    v1::SessionResponse response;
    SetKey(RankKey{"job-1", generation, 0}, *response.mutable_stop_rank());
    response.mutable_stop_rank()->set_now(now);
    *response.mutable_stop_rank()->mutable_grace() = TimeUtil::MillisecondsToDuration(grace_ms);
    return response;
  }
  v1::SessionResponse Commit(const v1::RankReport& staged, uint64_t generation = 1) {
    v1::SessionResponse response;
    SetKey(RankKey{"job-1", generation, 0}, *response.mutable_commit_artifact());
    *response.mutable_commit_artifact()->mutable_artifact() = staged.trainer().artifact_staged();
    return response;
  }
  std::string Page() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }
  std::string Log() {
    absl::MutexLock lock(&mutex_);
    return log_;
  }

  const TemporaryFolder folder_;
  const fs::path dir_ = folder_.path();
  prometheus::Registry registry_;
  absl::Notification ready_;
  std::unique_ptr<Agent> agent_;
  std::thread loop_;
  absl::Status result_;
  absl::Mutex mutex_;
  std::string log_;
};

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

// No beat is due within this test but the one that says that a section has outlasted its deadline.
TEST_F(AgentTest, TellsAtOnceOfASectionThatLastsTooLong) {
  FakeCoordinator coordinator({.lease_ms = 3'600'000, .beat_ms = 1'800'000, .hang_floor_ms = 30});
  Start(coordinator);
  coordinator.Send(StartRank(absl::StrCat("hello;started;step 2;at ", v1::TRAINER_SECTION_BACKWARD, ";notice there;await_stop")));
  const v1::Beat beat = coordinator.AwaitBeat();
  ASSERT_EQ(beat.positions_size(), 1);
  const v1::RankPosition& position = beat.positions(0);
  EXPECT_EQ(position.job_id(), "job-1");
  EXPECT_EQ(position.section(), v1::TRAINER_SECTION_BACKWARD);
  EXPECT_EQ(position.step(), 2);
  EXPECT_GE(TimeUtil::DurationToMilliseconds(position.lasts()), 30);
  EXPECT_EQ(TimeUtil::DurationToMilliseconds(position.typical()), 1);
  EXPECT_FALSE(position.process_stopped());
}

TEST_F(AgentTest, RunsATrainerAndTellsItsStoryInOrder) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;started;step 5;epoch 1;notice done;result;print last words;exit 0"));
  const v1::RankReport exit = coordinator.AwaitReport(IsExit);
  EXPECT_EQ(exit.exited().exit_code(), 0);
  EXPECT_EQ(exit.exited().signal(), 0);
  EXPECT_EQ(exit.exited().stderr_tail(), "last words\n");
  EXPECT_EQ(Story(coordinator.reports()), "hello; started; epoch 1; done; result; exit 0; ");
  EXPECT_THAT(Page(), HasSubstr("pixelrec_step 5"));
  EXPECT_THAT(Page(), HasSubstr("pixelrec_run_info{generation=\"1\",job_id=\"job-1\",rank=\"0\"} 1"));
  for (const v1::RankReport& report : coordinator.reports()) EXPECT_FALSE(report.trainer().has_step_timings());
}

TEST_F(AgentTest, ExitsAreTyped) {
  FakeCoordinator coordinator;
  Start(coordinator);
  uint64_t generation = 0;
  const auto run = [&](const std::string& script) {
    coordinator.Send(StartRank(script, ++generation));
    return coordinator.AwaitReport(IsExit).exited();
  };
  EXPECT_EQ(run("hello;exit 3").exit_code(), 3);
  const v1::RankExited segfault = run("hello;signal 11");
  EXPECT_EQ(segfault.exit_code(), -1);
  EXPECT_EQ(segfault.signal(), SIGSEGV);
  EXPECT_EQ(run("failure 3;exit 4").exit_code(), 4);
  EXPECT_EQ(run("garbage").signal(), SIGKILL);
}

TEST_F(AgentTest, ATrainersDeathIsToldWithin50Milliseconds) {
  FakeCoordinator coordinator;
  Start(coordinator);
  double worst = 0, sum = 0;
  constexpr int kDeaths = 10;
  for (int generation = 1; generation <= kDeaths; ++generation) {
    coordinator.Send(StartRank("hello;ignore_stop", generation));
    const int64_t pid = coordinator.AwaitReport(IsHello).trainer().hello().pid();
    const auto begin = std::chrono::steady_clock::now();
    kill(static_cast<pid_t>(pid), SIGKILL);
    EXPECT_EQ(coordinator.AwaitReport(IsExit).exited().signal(), SIGKILL);
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    worst = std::max(worst, ms);
    sum += ms;
  }
  std::printf("trainer death to the coordinator's hands: mean %.1f ms, worst %.1f ms of %d\n", sum / kDeaths, worst, kDeaths);
  RecordProperty("worst_ms", static_cast<int>(worst));
  EXPECT_LT(sum / kDeaths, 50);
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

TEST_F(AgentTest, OldGenerationsAreRefused) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;ignore_stop", 5));
  coordinator.AwaitReport(IsHello);
  coordinator.Send(StopRank(4, true));
  coordinator.Send(StartRank("hello;exit 1", 4));
  coordinator.Send(StartRank("hello;exit 2", 5));  // repeated: starts nothing
  v1::SessionResponse stale_commit;
  SetKey(RankKey{"job-1", 4, 0}, *stale_commit.mutable_commit_artifact());
  stale_commit.mutable_commit_artifact()->mutable_artifact()->set_path((dir_ / "never").string());
  coordinator.Send(stale_commit);
  coordinator.Send(StopRank(5, true));
  const v1::RankReport exit = coordinator.AwaitReport(IsExit);
  EXPECT_EQ(exit.generation(), 5u);
  EXPECT_EQ(exit.exited().signal(), SIGKILL);
  EXPECT_EQ(Story(coordinator.reports()), "hello; exit -1; ");
  EXPECT_THAT(Log(), HasSubstr("refused StartRank of job job-1 generation 4"));
}

TEST_F(AgentTest, ANewerGenerationTakesOver) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;ignore_stop", 1));
  coordinator.AwaitReport(IsHello);
  coordinator.Send(StartRank("hello;exit 0", 2));
  const v1::RankReport first = coordinator.AwaitReport(IsExit);
  EXPECT_EQ(first.generation(), 1u);
  EXPECT_EQ(first.exited().signal(), SIGKILL);
  const v1::RankReport second = coordinator.AwaitReport(IsExit);
  EXPECT_EQ(second.generation(), 2u);
  EXPECT_EQ(second.exited().exit_code(), 0);
}

TEST_F(AgentTest, TwoPhaseStop) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;await_stop;notice saved;exit 0", 1));
  coordinator.AwaitReport(IsHello);
  coordinator.Send(StopRank(1, false));
  EXPECT_EQ(coordinator.AwaitReport(IsExit).exited().exit_code(), 0);
  coordinator.Send(StartRank("hello;ignore_stop", 2));
  coordinator.AwaitReport(IsHello);
  coordinator.Send(StopRank(2, false, /*grace_ms=*/50));
  EXPECT_EQ(coordinator.AwaitReport(IsExit).exited().signal(), SIGKILL);
}

TEST_F(AgentTest, RendezvousReachesTheTrainer) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;await_rendezvous;started;exit 0", 1, 3));
  v1::SessionResponse response;
  SetKey(RankKey{"job-1", 1, 3}, *response.mutable_set_rendezvous());
  response.mutable_set_rendezvous()->mutable_rendezvous()->set_port(1);
  coordinator.Send(response);
  EXPECT_EQ(coordinator.AwaitReport(IsExit).rank(), 3);
  EXPECT_EQ(Story(coordinator.reports()), "hello; started; exit 0; ");
}

TEST_F(AgentTest, CommitsAreIdempotentAndToldToTheTrainer) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;stage checkpoint-epoch-1;await_committed;stage best_model;await_committed;exit 0"));
  const auto staged = [](const v1::RankReport& report) { return report.trainer().has_artifact_staged(); };
  const auto published = [](const v1::RankReport& report) { return report.has_artifact_published(); };
  const v1::RankReport first = coordinator.AwaitReport(staged);
  EXPECT_FALSE(fs::exists(dir_ / "out" / "checkpoint-epoch-1"));
  coordinator.Send(Commit(first));
  EXPECT_EQ(coordinator.AwaitReport(published).artifact_published().path(), (dir_ / "out" / "checkpoint-epoch-1").string());
  EXPECT_TRUE(fs::exists(dir_ / "out" / "checkpoint-epoch-1" / "manifest.json"));
  coordinator.Send(Commit(coordinator.AwaitReport(staged)));
  coordinator.AwaitReport(published);
  EXPECT_EQ(coordinator.AwaitReport(IsExit).exited().exit_code(), 0);
  // After the trainer's death, and of a later generation: still carried out, still the same.
  coordinator.Send(Commit(first, 2));
  const v1::RankReport again = coordinator.AwaitReport(published);
  EXPECT_EQ(again.generation(), 2u);
  EXPECT_THAT(Page(), HasSubstr("pixelrec_checkpoint_bytes 100"));
}

TEST_F(AgentTest, AFailedPublicationIsTyped) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;stage checkpoint-epoch-1;ignore_stop"));
  const v1::RankReport staged =
      coordinator.AwaitReport([](const v1::RankReport& report) { return report.trainer().has_artifact_staged(); });
  fs::remove_all(staged.trainer().artifact_staged().staging_path());
  coordinator.Send(Commit(staged));
  const v1::RankReport failed = coordinator.AwaitReport([](const v1::RankReport& report) { return report.has_publish_failed(); });
  EXPECT_EQ(failed.publish_failed().cause(), v1::FAILURE_CAUSE_OUTPUT_UNWRITABLE);
  EXPECT_EQ(failed.publish_failed().worker_id(), "w1");
  EXPECT_THAT(Page(), HasSubstr("pixelrec_checkpoint_failures_total{reason=\"missing\"} 1"));
  // The coordinator will forget that artifact: a repeat of the order, sent before it knew, mustn't bring it into being.
  const fs::path staging = staged.trainer().artifact_staged().staging_path();
  fs::create_directories(staging);
  coordinator.Send(Commit(staged));
  v1::RankReport other = staged;
  const fs::path other_staging = dir_ / "out/.staging/g1-other";
  fs::create_directories(other_staging);
  other.mutable_trainer()->mutable_artifact_staged()->set_staging_path(other_staging.string());
  other.mutable_trainer()->mutable_artifact_staged()->set_path((dir_ / "out/checkpoint-epoch-2").string());
  coordinator.Send(Commit(other));
  coordinator.AwaitReport([](const v1::RankReport& report) { return report.has_artifact_published(); });
  EXPECT_TRUE(fs::exists(dir_ / "out/checkpoint-epoch-2"));
  EXPECT_TRUE(fs::exists(staging));
  EXPECT_FALSE(fs::exists(dir_ / "out/checkpoint-epoch-1"));
}

TEST_F(AgentTest, LogsCanBeReadAfterTheTrainersDeath) {
  FakeCoordinator coordinator;
  Start(coordinator);
  coordinator.Send(StartRank("hello;print one;print two;signal 9"));
  coordinator.AwaitReport(IsExit);
  v1::SessionResponse read;
  read.mutable_read_log()->set_request(9);
  read.mutable_read_log()->set_job_id("job-1");
  coordinator.Send(read);
  v1::LogChunk chunk = coordinator.AwaitLogChunk();
  EXPECT_EQ(chunk.request(), 9u);
  EXPECT_EQ(chunk.data(), "one\ntwo\n");
  EXPECT_EQ(chunk.next_offset(), 8);
  read.mutable_read_log()->set_job_id("job-9");
  coordinator.Send(read);
  EXPECT_NE(coordinator.AwaitLogChunk().error(), "");
  EXPECT_TRUE(fs::exists(dir_ / "work" / "logs" / "job-1" / "g1-r0.log"));
}

TEST_F(AgentTest, PathsOutsideTheRootsStartNothing) {
  FakeCoordinator coordinator;
  Agent::Options options = Options(coordinator);
  options.config.roots = {dir_ / "allowed"};
  Start(std::move(options));
  coordinator.Send(StartRank("hello;exit 0"));
  const v1::Failure failure = coordinator.AwaitReport(IsFailure).trainer().failure();
  EXPECT_EQ(failure.cause(), v1::FAILURE_CAUSE_BAD_SPEC);
  EXPECT_THAT(failure.message(), HasSubstr("spec.output_dir"));
  EXPECT_EQ(coordinator.AwaitReport(IsExit).exited().exit_code(), 127);
}

// Its content would come back in the row that an error quotes.
TEST_F(AgentTest, NoJobReadsTheEnvironmentOfItsTrainer) {
  FakeCoordinator coordinator;
  Start(coordinator);
  v1::SessionResponse order = StartRank("hello;exit 0");
  fs::create_symlink("/proc/self/environ", dir_ / "interactions.csv");
  order.mutable_start_rank()->mutable_plan()->mutable_spec()->mutable_data()->set_interaction_data(
      (dir_ / "interactions.csv").string());
  coordinator.Send(order);
  const v1::Failure failure = coordinator.AwaitReport(IsFailure).trainer().failure();
  EXPECT_EQ(failure.cause(), v1::FAILURE_CAUSE_BAD_SPEC);
  EXPECT_THAT(failure.message(), HasSubstr("spec.data.interaction_data: "));
  EXPECT_THAT(failure.message(), HasSubstr("lies in /proc or /sys"));
}

TEST_F(AgentTest, ATrainerThatCanNotStartIsATypedFailure) {
  FakeCoordinator coordinator;
  Agent::Options options = Options(coordinator);
  const fs::path broken = dir_ / "broken-trainer";
  std::ofstream(broken) << "#!/nowhere/interpreter\n";
  fs::permissions(broken, fs::perms::owner_all);
  options.config.trainer = broken;
  Start(std::move(options));
  coordinator.Send(StartRank("hello"));
  const v1::Failure failure = coordinator.AwaitReport(IsFailure).trainer().failure();
  EXPECT_EQ(failure.cause(), v1::FAILURE_CAUSE_INTERNAL);
  EXPECT_THAT(failure.message(), HasSubstr("broken-trainer"));
  EXPECT_EQ(coordinator.AwaitReport(IsExit).exited().exit_code(), 127);
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
