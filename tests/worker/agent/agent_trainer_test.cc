// The daemon towards its trainers: it starts, watches, stops them, publishes what they stage.
#include <signal.h>

#include <cstdlib>
#include <fstream>

#include "common/storage/atomic_file.h"
#include "tests/worker/agent/agent_fixture.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::TimeUtil;
using testing::HasSubstr;

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

}  // namespace
}  // namespace pixelrec::agent
