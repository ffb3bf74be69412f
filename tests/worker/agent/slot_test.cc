// The slot as a transcript: what comes in, and every action that follows, in words.
#include "worker/agent/slot.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "google/protobuf/util/time_util.h"

namespace pixelrec::agent {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;

std::string Words(const v1::TrainerCommand& command) {
  switch (command.body_case()) {
    case v1::TrainerCommand::kPlan:
      return "plan";
    case v1::TrainerCommand::kRendezvous:
      return "rendezvous " + std::to_string(command.rendezvous().port());
    case v1::TrainerCommand::kStop:
      return command.stop().checkpoint() ? "stop with checkpoint" : "stop";
    case v1::TrainerCommand::kArtifactCommitted:
      return "committed " + command.artifact_committed().path();
    default:
      return "?";
  }
}

std::string Words(const v1::RankReport& report) {
  const std::string who =
      report.job_id() + "/g" + std::to_string(report.generation()) + "/r" + std::to_string(report.rank()) + " ";
  if (report.has_exited()) {
    return who + (report.exited().signal() != 0 ? "signal " + std::to_string(report.exited().signal())
                                                : "exit " + std::to_string(report.exited().exit_code()));
  }
  if (report.trainer().has_failure()) return who + "failure " + v1::FailureCause_Name(report.trainer().failure().cause());
  if (report.trainer().has_notice()) return who + "notice " + report.trainer().notice().text();
  return who + "report";
}

std::string Words(const SlotActions& actions) {
  std::string all;
  for (const SlotAction& action : actions) {
    if (!all.empty()) all += "; ";
    if (const auto* prepare = std::get_if<PrepareRank>(&action)) {
      all += "prepare g" + std::to_string(prepare->order.generation());
    } else if (const auto* spawn = std::get_if<SpawnTrainer>(&action)) {
      all += "spawn g" + std::to_string(spawn->order.generation());
    } else if (const auto* tell = std::get_if<TellTrainer>(&action)) {
      all += "tell " + Words(tell->command);
    } else if (std::holds_alternative<KillTrainer>(action)) {
      all += "kill";
    } else {
      all += "deliver " + Words(std::get<Deliver>(action).report);
    }
  }
  return all;
}

class SlotTest : public testing::Test {
 protected:
  static Time At(int ms) { return Time{} + milliseconds(ms); }
  static RankKey Key(uint64_t generation) { return {"j", generation, 1}; }
  static v1::StartRank Start(uint64_t generation, const std::string& job = "j") {
    v1::StartRank order;
    order.set_job_id(job);
    order.set_generation(generation);
    order.mutable_plan()->set_rank(1);
    order.mutable_plan()->set_role(v1::TRAINER_ROLE_TRAIN);
    return order;
  }
  static v1::StopRank Stop(uint64_t generation, bool now, int grace_ms = 0) {
    v1::StopRank order;
    SetKey(Key(generation), order);
    order.set_now(now);
    if (grace_ms > 0) *order.mutable_grace() = TimeUtil::MillisecondsToDuration(grace_ms);
    return order;
  }
  static v1::SetRendezvous Meet(uint64_t generation, int port) {
    v1::SetRendezvous order;
    SetKey(Key(generation), order);
    order.mutable_rendezvous()->set_port(port);
    return order;
  }
  static v1::TrainerReport Notice(uint64_t generation, const std::string& text) {
    v1::TrainerReport report;
    SetKey(Key(generation), report);
    report.mutable_notice()->set_text(text);
    return report;
  }
  void Run(uint64_t generation) {
    ASSERT_EQ(Words(slot_.OnStart(Start(generation))), "prepare g" + std::to_string(generation));
    ASSERT_EQ(Words(slot_.OnPrepared(Key(generation), std::nullopt)), "spawn g" + std::to_string(generation) + "; tell plan");
    slot_.OnSpawned(4711);
  }

  Slot slot_{{.worker_id = "w", .stop_grace = milliseconds(30'000), .hangup_grace = milliseconds(10'000)}};
};

TEST_F(SlotTest, RunsATrainerFromStartToExit) {
  Run(1);
  EXPECT_EQ(slot_.running()->pid(), 4711);
  EXPECT_EQ(slot_.running()->role(), v1::TRAINER_ROLE_TRAIN);
  EXPECT_EQ(Words(slot_.OnRendezvous(Meet(1, 99))), "tell rendezvous 99");
  EXPECT_EQ(Words(slot_.OnReport(Notice(1, "hi"))), "deliver j/g1/r1 notice hi");
  v1::Artifact artifact;
  artifact.set_path("/out/checkpoint-epoch-1");
  EXPECT_EQ(Words(slot_.OnCommitted(Key(1), artifact)), "tell committed /out/checkpoint-epoch-1");
  EXPECT_EQ(Words(slot_.OnExited({0, 0}, "")), "deliver j/g1/r1 exit 0");
  EXPECT_TRUE(slot_.empty());
  EXPECT_FALSE(slot_.running().has_value());
}

TEST_F(SlotTest, ExitBySignalKeepsItsSignal) {
  Run(1);
  EXPECT_EQ(Words(slot_.OnExited({-1, SIGSEGV}, "")), "deliver j/g1/r1 signal 11");
}

TEST_F(SlotTest, StepTimingsStayHereAndStrangersAreDropped) {
  Run(2);
  v1::TrainerReport steps;
  SetKey(Key(2), steps);
  steps.mutable_step_timings()->set_step(1);
  EXPECT_EQ(Words(slot_.OnReport(steps)), "");
  EXPECT_EQ(Words(slot_.OnReport(Notice(1, "older generation"))), "");
  v1::TrainerReport other = Notice(2, "other job");
  other.set_job_id("k");
  EXPECT_EQ(Words(slot_.OnReport(other)), "");
  EXPECT_EQ(Words(slot_.OnRendezvous(Meet(3, 1))), "");
  EXPECT_EQ(Words(slot_.OnStop(Stop(3, true), At(0))), "");
}

TEST_F(SlotTest, WhatComesBeforeTheProcessWaitsBehindThePlan) {
  slot_.OnStart(Start(1));
  EXPECT_EQ(Words(slot_.OnRendezvous(Meet(1, 5))), "");
  EXPECT_EQ(Words(slot_.OnPrepared(Key(1), std::nullopt)), "spawn g1; tell plan; tell rendezvous 5");
}

TEST_F(SlotTest, TwoPhaseStop) {
  Run(1);
  EXPECT_EQ(Words(slot_.OnStop(Stop(1, false, 500), At(0))), "tell stop");
  EXPECT_EQ(Words(slot_.Tick(At(499))), "");
  EXPECT_EQ(slot_.NextDue(), At(500));
  EXPECT_EQ(Words(slot_.Tick(At(500))), "kill");
  EXPECT_EQ(Words(slot_.Tick(At(501))), "");
  EXPECT_EQ(Words(slot_.OnExited({-1, 9}, "")), "deliver j/g1/r1 signal 9");
}

TEST_F(SlotTest, ARepeatedStopGivesNoMoreTimeAndNowIsNow) {
  Run(1);
  slot_.OnStop(Stop(1, false, 500), At(0));
  EXPECT_EQ(Words(slot_.OnStop(Stop(1, false, 500), At(400))), "");
  EXPECT_EQ(slot_.NextDue(), At(500));
  EXPECT_EQ(Words(slot_.OnStop(Stop(1, true), At(410))), "kill");
  EXPECT_EQ(Words(slot_.OnStop(Stop(1, true), At(420))), "");
}

TEST_F(SlotTest, AStopWithoutGraceTakesTheDefault) {
  Run(1);
  slot_.OnStop(Stop(1, false), At(0));
  EXPECT_EQ(slot_.NextDue(), At(30'000));
}

TEST_F(SlotTest, AStopBeforeTheProcessSpawnsNone) {
  for (bool now : {true, false}) {
    slot_.OnStart(Start(1));
    EXPECT_EQ(Words(slot_.OnStop(Stop(1, now), At(0))), "");
    EXPECT_EQ(Words(slot_.OnPrepared(Key(1), std::nullopt)), "deliver j/g1/r1 signal 9");
    EXPECT_TRUE(slot_.empty());
  }
}

TEST_F(SlotTest, ANewerGenerationKillsTheOlderThenStarts) {
  Run(1);
  EXPECT_EQ(Words(slot_.OnStart(Start(2))), "kill");
  EXPECT_EQ(Words(slot_.OnStart(Start(3))), "");
  EXPECT_EQ(Words(slot_.OnExited({-1, 9}, "")), "deliver j/g1/r1 signal 9; prepare g3");
  EXPECT_EQ(Words(slot_.OnPrepared(Key(3), std::nullopt)), "spawn g3; tell plan");
}

TEST_F(SlotTest, AWaitingSuccessorCanBeCalledOff) {
  Run(1);
  slot_.OnStart(Start(2));
  EXPECT_EQ(Words(slot_.OnStop(Stop(2, true), At(0))), "deliver j/g2/r1 signal 9");
  EXPECT_EQ(Words(slot_.OnExited({-1, 9}, "")), "deliver j/g1/r1 signal 9");
  EXPECT_TRUE(slot_.empty());
}

TEST_F(SlotTest, AnotherJobIsRefusedInWords) {
  Run(1);
  const SlotActions actions = slot_.OnStart(Start(1, "k"));
  EXPECT_EQ(Words(actions), "deliver k/g1/r1 failure FAILURE_CAUSE_WORKER_LOST; deliver k/g1/r1 exit 127");
  EXPECT_NE(std::get<Deliver>(actions[0]).report.trainer().failure().message().find("still runs job j"), std::string::npos);
  EXPECT_TRUE(slot_.IsRunning(Key(1)));
}

TEST_F(SlotTest, WhatCanNotBePreparedOrSpawnedIsATypedFailure) {
  v1::Failure bad;
  bad.set_cause(v1::FAILURE_CAUSE_BAD_SPEC);
  slot_.OnStart(Start(1));
  EXPECT_EQ(Words(slot_.OnPrepared(Key(1), bad)), "deliver j/g1/r1 failure FAILURE_CAUSE_BAD_SPEC; deliver j/g1/r1 exit 127");
  slot_.OnStart(Start(2));
  slot_.OnPrepared(Key(2), std::nullopt);
  bad.set_cause(v1::FAILURE_CAUSE_INTERNAL);
  const SlotActions actions = slot_.OnSpawnFailed(bad);
  EXPECT_EQ(Words(actions), "deliver j/g2/r1 failure FAILURE_CAUSE_INTERNAL; deliver j/g2/r1 exit 127");
  const v1::Failure& failure = std::get<Deliver>(actions[0]).report.trainer().failure();
  EXPECT_EQ(failure.worker_id(), "w");
  EXPECT_EQ(failure.generation(), 2u);
  EXPECT_EQ(failure.rank(), 1);
}

TEST_F(SlotTest, ATrainerThatHangsUpAndLivesOnIsKilled) {
  Run(1);
  EXPECT_EQ(Words(slot_.OnHangup(At(0))), "");
  EXPECT_EQ(Words(slot_.Tick(At(10'000))), "kill");
}

TEST_F(SlotTest, GarbageOnTheChannelIsAFailureAndKills) {
  Run(1);
  EXPECT_EQ(Words(slot_.OnGarbage("what")), "deliver j/g1/r1 failure FAILURE_CAUSE_INTERNAL; kill");
  EXPECT_EQ(Words(slot_.OnGarbage("what")), "");
}

TEST_F(SlotTest, LeavingStopsTheTrainerAndRefusesNewOnes) {
  Run(1);
  EXPECT_EQ(Words(slot_.StopFor("SIGTERM", true, At(0))),
            "deliver j/g1/r1 failure FAILURE_CAUSE_WORKER_LOST; tell stop with checkpoint");
  EXPECT_EQ(Words(slot_.StopFor("SIGTERM", true, At(1))), "");
  EXPECT_EQ(Words(slot_.OnExited({0, 0}, "")), "deliver j/g1/r1 exit 0");
  EXPECT_EQ(Words(slot_.OnStart(Start(2))), "deliver j/g2/r1 failure FAILURE_CAUSE_WORKER_LOST; deliver j/g2/r1 exit 127");
}

TEST_F(SlotTest, LeavingAddsNoBlameToAStopThatWasOrdered) {
  Run(1);
  slot_.OnStop(Stop(1, false, 500), At(0));
  EXPECT_EQ(Words(slot_.StopFor("SIGTERM", true, At(1))), "");
}

TEST_F(SlotTest, AnOrphanIsStoppedAndTheSlotStaysUsable) {
  Run(1);
  EXPECT_EQ(Words(slot_.StopFor("no coordinator", false, At(0))),
            "deliver j/g1/r1 failure FAILURE_CAUSE_WORKER_LOST; tell stop with checkpoint");
  slot_.OnExited({0, 0}, "");
  EXPECT_EQ(Words(slot_.OnStart(Start(2))), "prepare g2");
}

}  // namespace
}  // namespace pixelrec::agent
