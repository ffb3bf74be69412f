#include "coordinator/state/failures.h"

#include <gtest/gtest.h>

#include <csignal>

namespace pixelrec::coordinator {
namespace {

using std::chrono::milliseconds;

v1::RankExited Exited(int code, int signal, const std::string& tail = "") {
  v1::RankExited exited;
  exited.set_exit_code(code);
  exited.set_signal(signal);
  exited.set_stderr_tail(tail);
  return exited;
}

TEST(ClassOf, SeparatesWhoseBudgetIsBurned) {
  for (v1::FailureCause cause :
       {v1::FAILURE_CAUSE_BAD_SPEC, v1::FAILURE_CAUSE_BAD_DATA, v1::FAILURE_CAUSE_BAD_MODEL, v1::FAILURE_CAUSE_OUT_OF_MEMORY,
        v1::FAILURE_CAUSE_NONFINITE_LOSS, v1::FAILURE_CAUSE_OUTPUT_UNWRITABLE, v1::FAILURE_CAUSE_LOSS_COLLAPSE,
        v1::FAILURE_CAUSE_TIME_LIMIT}) {
    EXPECT_EQ(ClassOf(cause), FailureClass::kUser) << CauseName(cause);
  }
  for (v1::FailureCause cause :
       {v1::FAILURE_CAUSE_WORKER_LOST, v1::FAILURE_CAUSE_TRAINER_SIGNAL, v1::FAILURE_CAUSE_COLLECTIVE,
        v1::FAILURE_CAUSE_DISK_FULL, v1::FAILURE_CAUSE_START_TIMEOUT, v1::FAILURE_CAUSE_HANG,
        v1::FAILURE_CAUSE_CHECKPOINT_DAMAGED, v1::FAILURE_CAUSE_INTERNAL, v1::FAILURE_CAUSE_UNSPECIFIED}) {
    EXPECT_EQ(ClassOf(cause), FailureClass::kInfrastructure) << CauseName(cause);
  }
}

TEST(ClassOf, MachinesAreNeverTakenForTheJobsFault) {
  EXPECT_FALSE(BlamesJob(v1::FAILURE_CAUSE_WORKER_LOST));
  EXPECT_FALSE(BlamesJob(v1::FAILURE_CAUSE_DISK_FULL));
  EXPECT_TRUE(BlamesJob(v1::FAILURE_CAUSE_INTERNAL));
  EXPECT_TRUE(BlamesJob(v1::FAILURE_CAUSE_TRAINER_SIGNAL));
}

TEST(ClassifyExit, NamesTheSignal) {
  const v1::Failure failure = ClassifyExit(Exited(-1, SIGKILL));
  EXPECT_EQ(failure.cause(), v1::FAILURE_CAUSE_TRAINER_SIGNAL);
  EXPECT_EQ(failure.message(), "killed by signal 9 (SIGKILL)");
  EXPECT_NE(failure.hint().find("out-of-memory"), std::string::npos);
  EXPECT_EQ(failure.signal(), SIGKILL);
  EXPECT_EQ(failure.exit_code(), 0);
  EXPECT_EQ(ClassifyExit(Exited(-1, 42)).message(), "killed by signal 42");
}

TEST(ClassifyExit, KeepsTheLastWords) {
  const v1::Failure failure = ClassifyExit(Exited(3, 0, "terminate called\n"));
  EXPECT_EQ(failure.cause(), v1::FAILURE_CAUSE_INTERNAL);
  EXPECT_EQ(failure.message(), "ended with exit code 3 and no reason; its last words: terminate called");
  EXPECT_EQ(failure.exit_code(), 3);
}

TEST(ClassifyExit, TellsAProgramThatCannotBeRun) {
  EXPECT_NE(ClassifyExit(Exited(127, 0)).hint().find("worker.yaml"), std::string::npos);
}

TEST(Describe, NamesTheRankWhereThereIsOne) {
  v1::Failure failure;
  failure.set_message("it broke");
  failure.set_rank(2);
  failure.set_worker_id("w2");
  EXPECT_EQ(Describe(failure), "rank 2 on w2: it broke");
  failure.set_rank(-1);
  EXPECT_EQ(Describe(failure), "it broke");
}

TEST(RestartLimit, HasDefaultsWhereTheSpecSaysNothing) {
  v1::JobSpec spec;
  EXPECT_EQ(RestartLimit(spec, FailureClass::kUser), 0);
  EXPECT_EQ(RestartLimit(spec, FailureClass::kInfrastructure), 20);
  spec.mutable_scheduling()->mutable_max_restarts()->set_infrastructure(-1);
  spec.mutable_scheduling()->mutable_max_restarts()->set_user(3);
  EXPECT_EQ(RestartLimit(spec, FailureClass::kUser), 3);
  EXPECT_EQ(RestartLimit(spec, FailureClass::kInfrastructure), -1);
}

TEST(Backoff, StartsAtNothingGrowsAndStaysInItsBounds) {
  const milliseconds floor(200), ceiling(30000);
  EXPECT_EQ(Backoff("a-1", 0, floor, ceiling).count(), 0);
  EXPECT_EQ(Backoff("a-1", 1, floor, ceiling).count(), 0);
  for (int attempt = 2; attempt < 100; ++attempt) {
    const auto wait = Backoff("a-1", attempt, floor, ceiling);
    EXPECT_GE(wait, floor) << attempt;
    EXPECT_LE(wait, ceiling) << attempt;
  }
}

TEST(Backoff, IsTheSameForTheSameArgumentsAndSpreadOverJobs) {
  const milliseconds floor(200), ceiling(30000);
  std::set<int64_t> waits;
  for (int job = 0; job < 100; ++job) {
    const std::string id = "job-" + std::to_string(job);
    EXPECT_EQ(Backoff(id, 4, floor, ceiling), Backoff(id, 4, floor, ceiling));
    waits.insert(Backoff(id, 4, floor, ceiling).count());
  }
  EXPECT_GT(waits.size(), 80u);
}

}  // namespace
}  // namespace pixelrec::coordinator
