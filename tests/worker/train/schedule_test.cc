// The learning-rate table of rule O3.
#include "worker/train/schedule.h"

#include <gtest/gtest.h>

namespace pixelrec::train {
namespace {

TEST(Schedule, WarmUpThenCosineRuleO3) {
  // 444 steps, 10 % warm-up: w = 44.4, not rounded.
  EXPECT_EQ(LearningRateFactor(0, 444, 0.1), 0);
  EXPECT_DOUBLE_EQ(LearningRateFactor(44, 444, 0.1), 44 / 44.4);
  EXPECT_NEAR(LearningRateFactor(45, 444, 0.1), 0.5 * (1 + std::cos(std::numbers::pi * 0.6 / 399.6)), 1e-15);
  EXPECT_NEAR(LearningRateFactor(443, 444, 0.1), 0.5 * (1 + std::cos(std::numbers::pi * 398.6 / 399.6)), 1e-15);
}

TEST(Schedule, WithoutWarmUpTheFirstStepIsFullRuleO4) {
  EXPECT_EQ(LearningRateFactor(0, 100, 0), 1);
  EXPECT_NEAR(LearningRateFactor(50, 100, 0), 0.5, 1e-15);
  EXPECT_NEAR(LearningRateFactor(100, 100, 0), 0, 1e-15);
}

TEST(Schedule, OneStepJobDoesNotDivideByZero) { EXPECT_EQ(LearningRateFactor(0, 1, 0.1), 0); }

}  // namespace
}  // namespace pixelrec::train
