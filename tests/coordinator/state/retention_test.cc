// How long jobs that have ended are remembered.
#include "coordinator/state/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/state/simulation.h"

namespace pixelrec::coordinator {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

std::vector<std::string> Names(const Simulation& sim) {
  std::vector<std::string> names;
  for (const auto& [number, entry] : sim.state().jobs) names.push_back(entry.job().spec().name());
  return names;
}

void SubmitAndCancel(Simulation& sim, const std::string& name) {
  sim.Submit(Simulation::Spec(name, 1), "request-" + name);
  sim.Step(Cancel{name});
}

TEST(RetentionTest, TheNewestAreKept) {
  Policy policy;
  policy.keep_ended_jobs = 2;
  Simulation sim(policy);
  sim.Submit(Simulation::Spec("waits", 9));  // has not ended, and is the oldest
  for (const char* name : {"a", "b", "c", "d"}) {
    SubmitAndCancel(sim, name);
    sim.Advance(seconds(1));
  }
  EXPECT_THAT(Names(sim), ElementsAre("waits", "c", "d"));
  // Neither a restart nor a late repeat brings one back.
  sim.Restart();
  EXPECT_THAT(Names(sim), ElementsAre("waits", "c", "d"));
  EXPECT_EQ(sim.Submit(Simulation::Spec("a", 1), "request-a").status.code(), absl::StatusCode::kNotFound);
}

TEST(RetentionTest, ForTheirTime) {
  Policy policy;
  policy.keep_ended_for = seconds(100);
  Simulation sim(policy);
  SubmitAndCancel(sim, "a");
  sim.Advance(seconds(60));
  SubmitAndCancel(sim, "b");
  EXPECT_LE(NextLookAtEnded(sim.state()), sim.now().steady + seconds(60));
  sim.Advance(seconds(39));
  EXPECT_THAT(Names(sim), ElementsAre("a", "b"));
  sim.Advance(seconds(20));
  EXPECT_THAT(Names(sim), ElementsAre("b"));
  // What the journal refuses is tried again.
  sim.Advance(seconds(40));
  sim.refuse_next();
  sim.Advance(seconds(2));
  EXPECT_THAT(Names(sim), ElementsAre());
}

TEST(RetentionTest, ManyGoByAndBy) {
  Policy policy;
  policy.keep_ended_jobs = 10;
  Simulation sim(policy);
  for (int i = 0; i < 250; ++i) SubmitAndCancel(sim, absl::StrCat("j", i));
  EXPECT_EQ(sim.state().jobs.size(), 250u);
  EXPECT_EQ(NextLookAtEnded(sim.state()), sim.state().last_tick);  // at once
  for (int left : {150, 50, 10}) {
    sim.Step(Tick{});
    EXPECT_EQ(static_cast<int>(sim.state().jobs.size()), left);
  }
  EXPECT_EQ(NextLookAtEnded(sim.state()), std::chrono::microseconds::max());
}

}  // namespace
}  // namespace pixelrec::coordinator
