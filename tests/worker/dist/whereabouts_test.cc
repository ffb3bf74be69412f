#include "worker/dist/whereabouts.h"

#include <gtest/gtest.h>

namespace pixelrec::dist {
namespace {

using std::chrono::milliseconds;

class WhereaboutsTest : public testing::Test {
 protected:
  void Pass(int ms) { now_ += milliseconds(ms); }
  std::chrono::nanoseconds Lasts() const { return now_ - place_.since; }

  Whereabouts::Time now_{std::chrono::hours(1)};
  Whereabouts::Place place_;
  Whereabouts whereabouts_{
      {.publish = [this](const Whereabouts::Place& place) { place_ = place; }, .now = [this] { return now_; }}};
};

TEST_F(WhereaboutsTest, SaysTheSectionAndSinceWhen) {
  EXPECT_EQ(place_.section, Section::kLoad);
  Pass(30);
  whereabouts_.Enter(Section::kForward);
  whereabouts_.BeginStep(12);
  Pass(7);
  EXPECT_EQ(place_.section, Section::kForward);
  EXPECT_EQ(place_.step, 12);
  EXPECT_EQ(Lasts(), milliseconds(7));
}

TEST_F(WhereaboutsTest, TypicalIsTheMedianOfThreeOrMore) {
  for (const int ms : {10, 500}) {
    whereabouts_.Enter(Section::kData);
    Pass(ms);
  }
  whereabouts_.Enter(Section::kData);
  EXPECT_EQ(place_.typical, std::nullopt);
  Pass(20);
  whereabouts_.Enter(Section::kData);
  EXPECT_EQ(place_.typical, milliseconds(20));
  whereabouts_.Enter(Section::kForward);
  EXPECT_EQ(place_.typical, std::nullopt);
  // Only the newest 31 count.
  for (int i = 0; i < 31; ++i) {
    whereabouts_.Enter(Section::kData);
    Pass(3);
  }
  whereabouts_.Enter(Section::kData);
  EXPECT_EQ(place_.typical, milliseconds(3));
}

TEST_F(WhereaboutsTest, WaitsAreMeasuredApart) {
  for (int step = 0; step < 3; ++step) {
    whereabouts_.BeginStep(step);
    whereabouts_.Enter(Section::kBackward);
    Pass(40);
    whereabouts_.Arrive();
    whereabouts_.BeginWait();
    Pass(60);
    whereabouts_.EndWait();
    whereabouts_.Enter(Section::kReport);
    whereabouts_.EndStep();
  }
  whereabouts_.Enter(Section::kBackward);
  EXPECT_EQ(place_.typical, milliseconds(40));
  Pass(5);
  whereabouts_.Arrive();
  whereabouts_.BeginWait();
  Pass(900);
  EXPECT_TRUE(place_.waits);
  EXPECT_EQ(place_.collective, 4u);
  EXPECT_EQ(place_.typical, milliseconds(100));  // a whole step
  EXPECT_EQ(Lasts(), milliseconds(900));
  whereabouts_.EndWait();
  EXPECT_FALSE(place_.waits);
  EXPECT_EQ(place_.typical, milliseconds(40));
  EXPECT_EQ(Lasts(), milliseconds(5));  // the rank isn't blamed for what it waited
}

}  // namespace
}  // namespace pixelrec::dist
