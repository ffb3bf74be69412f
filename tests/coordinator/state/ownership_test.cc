// Whose a job is, in the pure machine.
#include <gtest/gtest.h>

#include "common/rpc/reasons.h"
#include "coordinator/state/replay.h"
#include "coordinator/state/step.h"
#include "tests/coordinator/state/simulation.h"

namespace pixelrec::coordinator {
namespace {

const Caller kAlice{.name = "alice"}, kBob{.name = "bob"}, kRoot{.name = "root", .may_change_any = true};

class Ownership : public testing::Test {
 protected:
  Outcome Do(const Event& event) {
    Outcome outcome = Step(state_, event, {});
    for (const Record& record : outcome.records) journal_.push_back(record.SerializeAsString());
    state_.Accept();
    return outcome;
  }
  // What a coordinator knows that was started again.
  void Restart() {
    state_ = State(Policy());
    for (const std::string& record : journal_) ASSERT_TRUE(ApplyRecord(state_, record).ok());
    FinishReplay(state_, {});
  }
  uint64_t Submit(const Caller& by, const std::string& name, const std::string& request_id = "") {
    return Do(coordinator::Submit{request_id, Simulation::Spec(name, 1), 8, by}).job_number;
  }
  std::string Refusal(const Event& event) { return rpc::ReasonOf(Do(event).status); }

  State state_{Policy()};
  std::vector<std::string> journal_;
};

TEST_F(Ownership, LastsThroughARestart) {
  Submit(kAlice, "a");
  Restart();
  EXPECT_EQ(state_.jobs.at(1).job().owner(), "alice");
  EXPECT_EQ(Refusal(Cancel{"a", true, "", kBob}), rpc::kJobOfAnother);
  EXPECT_EQ(Refusal(Cancel{"a", true, "", kAlice}), "");
}

TEST_F(Ownership, ARefusalChangesNothing) {
  Submit(kAlice, "a");
  const size_t before = journal_.size();
  for (const Event& event :
       std::vector<Event>{Cancel{"a", true, "x", kBob}, PauseJob{"a", true, "x", kBob}, ResumeJob{"a", "x", kBob},
                          DeleteJob{"a", "x", kBob}, Cancel{"a", true, "x", {}}}) {
    EXPECT_EQ(Refusal(event), rpc::kJobOfAnother);
  }
  EXPECT_EQ(journal_.size(), before);
  EXPECT_EQ(state_.jobs.at(1).job().state(), v1::JOB_STATE_PENDING);
}

TEST_F(Ownership, OneWhoMayChangeAnyDoes) {
  Submit(kAlice, "a");
  EXPECT_EQ(Refusal(PauseJob{"a", false, "", kRoot}), "");
  EXPECT_EQ(Refusal(ResumeJob{"a", "", kRoot}), "");
  EXPECT_EQ(Refusal(Cancel{"a", true, "", kRoot}), "");
  EXPECT_EQ(Refusal(DeleteJob{"a", "", kRoot}), "");
  EXPECT_TRUE(state_.jobs.empty());
}

// Journals from before owners were kept.
TEST_F(Ownership, AJobOfNobodyIsForAdmins) {
  Submit({}, "a");
  EXPECT_EQ(Refusal(Cancel{"a", true, "", kAlice}), rpc::kJobOfAnother);
  EXPECT_EQ(Refusal(Cancel{"a", true, "", kRoot}), "");
}

TEST_F(Ownership, ARequestIdIsItsSendersOwn) {
  const uint64_t first = Submit(kAlice, "a", "r");
  EXPECT_EQ(Submit(kAlice, "a", "r"), first);
  EXPECT_NE(Submit(kBob, "b", "r"), first);
  EXPECT_NE(Submit(kRoot, "c", "r"), first);
  Restart();
  EXPECT_EQ(Submit(kAlice, "a", "r"), first);
  EXPECT_EQ(state_.jobs.size(), 3u);
  Do(Cancel{"a", true, "", kAlice});
  Do(DeleteJob{"a", "d", kAlice});
  Restart();
  EXPECT_TRUE(Do(DeleteJob{"a", "d", kAlice}).deletion.has_value()) << "a repeat";
  EXPECT_FALSE(Do(DeleteJob{"a", "d", kBob}).deletion.has_value());
  EXPECT_NE(Submit(kAlice, "a", "r"), first) << "a deleted job's request is free again";
}

TEST_F(Ownership, ResultsOfAnotherAreNotReplaced) {
  Submit(kAlice, "a");
  Do(Cancel{"a", true, "", kAlice});
  v1::JobSpec spec = Simulation::Spec("a", 1);
  spec.set_output_policy(v1::OUTPUT_POLICY_REPLACE);
  EXPECT_EQ(Refusal(coordinator::Submit{"", spec, 8, kBob}), rpc::kOutputDirOfAnother);
  spec.set_output_policy(v1::OUTPUT_POLICY_NEW);
  EXPECT_EQ(Refusal(coordinator::Submit{"", spec, 8, kBob}), "") << "which the trainer refuses where results lie";
  Do(Cancel{"a", true, "", kBob});
  spec.set_output_policy(v1::OUTPUT_POLICY_RESUME);
  EXPECT_EQ(Refusal(coordinator::Submit{"", spec, 8, kRoot}), "");
}

}  // namespace
}  // namespace pixelrec::coordinator
