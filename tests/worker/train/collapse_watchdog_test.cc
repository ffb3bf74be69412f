#include "worker/train/collapse_watchdog.h"

#include <gtest/gtest.h>

namespace pixelrec::train {
namespace {

using Verdict = CollapseWatchdog::Verdict;
constexpr int64_t kNegatives = 352;

TEST(CollapseWatchdog, WarnsOnceThenFails) {
  CollapseWatchdog watchdog(25);
  for (int step = 1; step < 25; ++step) {
    EXPECT_EQ(watchdog.Observe(1.5, kNegatives), step == CollapseWatchdog::kWarnAfter ? Verdict::kWarn : Verdict::kHealthy)
        << step;
  }
  EXPECT_EQ(watchdog.Observe(1.5, kNegatives), Verdict::kFail);
}

TEST(CollapseWatchdog, OneHealthyStepStartsTheCountAnew) {
  CollapseWatchdog watchdog(12);
  for (int step = 0; step < 11; ++step) watchdog.Observe(1, kNegatives);
  EXPECT_EQ(watchdog.Observe(340, kNegatives), Verdict::kHealthy);
  EXPECT_EQ(watchdog.in_row(), 0);
  for (int step = 0; step < 11; ++step) EXPECT_NE(watchdog.Observe(1, kNegatives), Verdict::kFail);
}

// A few filtered duplicates, or a single negative that equals a target now and then, are no collapse.
TEST(CollapseWatchdog, AFewNegativesLeftAreEnough) {
  CollapseWatchdog watchdog(1);
  EXPECT_EQ(watchdog.Observe(1 + 0.02 * kNegatives, kNegatives), Verdict::kHealthy);
  EXPECT_EQ(watchdog.Observe(1, 0), Verdict::kHealthy);  // no negatives were asked for
}

TEST(CollapseWatchdog, ZeroNeverFails) {
  CollapseWatchdog watchdog(0);
  for (int step = 0; step < 1000; ++step) EXPECT_NE(watchdog.Observe(1, kNegatives), Verdict::kFail);
}

}  // namespace
}  // namespace pixelrec::train
