#include "worker/agent/session.h"

#include <gtest/gtest.h>

#include "google/protobuf/util/time_util.h"

namespace pixelrec::agent {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;

class SessionTest : public testing::Test {
 protected:
  Time At(int ms) const { return Time{} + milliseconds(1000 + ms); }
  static v1::Registered Terms() {
    v1::Registered terms;
    *terms.mutable_lease() = TimeUtil::MillisecondsToDuration(2000);
    *terms.mutable_beat_interval() = TimeUtil::MillisecondsToDuration(500);
    *terms.mutable_orphan_grace() = TimeUtil::SecondsToDuration(60);
    return terms;
  }
  void Register(int ms) {
    ASSERT_TRUE(session_.Tick(At(ms)).open);
    session_.OnRegistered(Terms(), At(ms));
  }

  double random_ = 0.5;
  Session session_{{.random = [this] { return random_; }}};
};

TEST_F(SessionTest, DialsAtOnceAndOnlyOnce) {
  EXPECT_TRUE(session_.Tick(At(0)).open);
  EXPECT_FALSE(session_.Tick(At(1)).open);
  EXPECT_EQ(session_.state(), Session::State::kOpening);
  EXPECT_FALSE(session_.lost_since().has_value());
}

TEST_F(SessionTest, GivesUpAnAttemptThatNoOneAnswers) {
  session_.Tick(At(0));
  EXPECT_FALSE(session_.Tick(At(2999)).drop);
  EXPECT_EQ(session_.NextDue(), At(3000));
  EXPECT_TRUE(session_.Tick(At(3000)).drop);
}

TEST_F(SessionTest, BeatsAsTheTermsSay) {
  Register(0);
  EXPECT_EQ(session_.Tick(At(499)).beat, 0u);
  EXPECT_EQ(session_.NextDue(), At(500));
  EXPECT_EQ(session_.Tick(At(500)).beat, 1u);
  EXPECT_EQ(session_.Tick(At(501)).beat, 0u);
  session_.OnHeard(At(501));
  EXPECT_EQ(session_.Tick(At(1000)).beat, 2u);
}

TEST_F(SessionTest, ALatePollBeatsOnceNotInABurst) {
  Register(0);
  session_.OnHeard(At(1700));
  EXPECT_EQ(session_.Tick(At(1800)).beat, 1u);
  EXPECT_EQ(session_.Tick(At(1801)).beat, 0u);
  EXPECT_EQ(session_.NextDue(), At(2300));
}

TEST_F(SessionTest, SilenceForALeaseIsTheEndOfTheSession) {
  Register(0);
  session_.OnHeard(At(1000));
  EXPECT_FALSE(session_.Tick(At(2999)).drop);
  EXPECT_TRUE(session_.Tick(At(3000)).drop);
  session_.OnClosed(At(3000));
  EXPECT_EQ(session_.lost_since(), At(3000));
}

TEST_F(SessionTest, BacksOffWithJitterUpToHalfASecond) {
  int now = 0;
  milliseconds longest{0};
  for (int attempt = 0; attempt < 20; ++attempt) {
    ASSERT_TRUE(session_.Tick(At(now)).open) << attempt;
    session_.OnClosed(At(now));
    const auto wait = std::chrono::duration_cast<milliseconds>(session_.NextDue() - At(now));
    EXPECT_GE(wait, milliseconds(50));
    EXPECT_LE(wait, milliseconds(500));
    longest = std::max(longest, wait);
    random_ = attempt % 3 == 0 ? 0.99 : 0.7;
    now += static_cast<int>(wait.count());
  }
  EXPECT_GT(longest, milliseconds(300));
  // A session that lasts starts over.
  Register(now);
  session_.OnClosed(At(now + 500));
  EXPECT_EQ(session_.NextDue(), At(now + 550));
}

TEST_F(SessionTest, ACoordinatorThatClosesEverySessionAtOnceIsNotDialledWithoutAPause) {
  int now = 0, dialled = 0;
  for (; now < 10'000; ++dialled) {
    Register(now);
    session_.OnClosed(At(now + 1));
    now = static_cast<int>(std::chrono::duration_cast<milliseconds>(session_.NextDue() - At(0)).count());
  }
  EXPECT_LT(dialled, 60);
}

TEST_F(SessionTest, LostSinceIsTheFirstLossUntilRegisteredAgain) {
  Register(0);
  session_.OnClosed(At(100));
  session_.Tick(At(1200));
  session_.OnClosed(At(1200));
  EXPECT_EQ(session_.lost_since(), At(100));
  EXPECT_EQ(session_.orphan_grace(), milliseconds(60'000));
  Register(9000);
  EXPECT_FALSE(session_.lost_since().has_value());
}

TEST_F(SessionTest, TermsLeftOutTakeTheirDefaults) {
  session_.Tick(At(0));
  session_.OnRegistered(v1::Registered(), At(0));
  EXPECT_EQ(session_.NextDue(), At(500));
  EXPECT_EQ(session_.orphan_grace(), milliseconds(600'000));
}

}  // namespace
}  // namespace pixelrec::agent
