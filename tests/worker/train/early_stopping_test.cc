#include "worker/train/early_stopping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pixelrec::train {
namespace {

using testing::HasSubstr;

std::vector<EpochRecord> Losses(const std::vector<double>& losses) {
  std::vector<EpochRecord> epochs;
  for (const double loss : losses) epochs.push_back({.epoch = static_cast<int>(epochs.size()) + 1, .validation_loss = loss});
  return epochs;
}

TEST(EarlyStopping, StopsAfterPatienceEpochsWithoutALowerLoss) {
  const EarlyStopping options{.patience = 2};
  EXPECT_FALSE(ReasonToStopEarly(options, Losses({5, 4, 4.1})));
  const auto reason = ReasonToStopEarly(options, Losses({5, 4, 4.1, 4}));  // as good is not better
  ASSERT_TRUE(reason);
  EXPECT_THAT(*reason, HasSubstr("validation_loss was best after epoch 2 (4.0000)"));
  EXPECT_FALSE(ReasonToStopEarly(options, Losses({5, 4, 4.1, 3.9, 4.5})));
}

TEST(EarlyStopping, WithoutPatienceNeverStops) { EXPECT_FALSE(ReasonToStopEarly({}, Losses({1, 2, 3, 4, 5, 6}))); }

TEST(EarlyStopping, RankingMetricsGrowAndEpochsWithoutThemArePassedOver) {
  const EarlyStopping options{.metric = "ndcg@10", .patience = 2};
  std::vector<EpochRecord> epochs = Losses({5, 5, 5, 5, 5});
  for (const auto& [epoch, ndcg] : {std::pair(0, 0.05), std::pair(2, 0.04)}) {
    epochs[static_cast<size_t>(epoch)].validation.at = {{.k = 5, .recall = 1, .ndcg = 1}, {.k = 10, .recall = 0.1, .ndcg = ndcg}};
  }
  EXPECT_FALSE(ReasonToStopEarly(options, epochs));
  epochs[4].validation.at = {{.k = 10, .recall = 0.2, .ndcg = 0.05}};
  EXPECT_TRUE(ReasonToStopEarly(options, epochs));
}

TEST(EarlyStopping, ALossThatIsNotFiniteIsPassedOver) {
  EXPECT_FALSE(ReasonToStopEarly({.patience = 1}, Losses({NAN, 5})));
  EXPECT_TRUE(ReasonToStopEarly({.patience = 1}, Losses({5, NAN, 6})));
}

// Rule O5 of the reference, in compat alone.
TEST(EarlyStopping, CompatSelectsByNdcgAndStopsWhenSixEpochsAreWorseRuleO5) {
  TrainJob job{.ks = {10, 200}};
  job.compat.best_by_ndcg = true;
  const EarlyStopping options = EarlyStoppingOf(job);
  std::vector<EpochRecord> epochs = Losses({3, 4, 5, 6, 7, 8, 9, 10});
  const auto set = [&](size_t epoch, double ndcg) { epochs[epoch].validation.at = {{.k = 200, .recall = 0, .ndcg = ndcg}}; };
  set(0, 0.1);
  set(1, 0.1);
  EXPECT_TRUE(IsBest(job, std::span(epochs).first(1), epochs[1], 3.0));  // as good is better, whatever the loss
  for (size_t epoch = 2; epoch < 8; ++epoch) {
    set(epoch, 0.05);
    EXPECT_FALSE(IsBest(job, std::span(epochs).first(epoch), epochs[epoch], 3.0));
    EXPECT_EQ(ReasonToStopEarly(options, std::span(epochs).first(epoch + 1)).has_value(), epoch == 7) << epoch;
  }
  job.early_stopping.patience = 2;  // what the job says counts
  EXPECT_EQ(EarlyStoppingOf(job).patience, 2);
}

TEST(Best, ByTheLowestFiniteValidationLoss) {
  const TrainJob job;
  EXPECT_TRUE(IsBest(job, {}, Losses({5})[0], std::nullopt));
  EXPECT_TRUE(IsBest(job, {}, Losses({4})[0], 5.0));
  EXPECT_FALSE(IsBest(job, {}, Losses({5})[0], 5.0));
  EXPECT_FALSE(IsBest(job, {}, Losses({NAN})[0], std::nullopt));
}

}  // namespace
}  // namespace pixelrec::train
