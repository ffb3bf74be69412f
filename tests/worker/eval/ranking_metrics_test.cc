// Recall and NDCG by hand (rules V4, W9).
#include "worker/eval/ranking_metrics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pixelrec::eval {
namespace {

TEST(RankingMetrics, ByHandRulesV4W9) {
  // Six users: first, third, tenth, eleventh place, a target in its own history, and one with too few events.
  const std::vector<int64_t> ranks = {1, 3, 10, 11, kMaskedTarget, kNotRanked}, ties = {0, 2, 0, 1, 0, 0};
  const std::vector<int> ks = {1, 5, 10};
  const RankingMetrics m = ComputeMetrics(ranks, ties, ks);
  EXPECT_EQ(m.users, 5);
  EXPECT_EQ(m.masked_targets, 1);
  EXPECT_EQ(m.tied_targets, 2);
  EXPECT_DOUBLE_EQ(m.at[0].recall, 1 / 5.0);
  EXPECT_DOUBLE_EQ(m.at[0].ndcg, 1 / 5.0);
  EXPECT_DOUBLE_EQ(m.at[1].recall, 2 / 5.0);
  EXPECT_DOUBLE_EQ(m.at[1].ndcg, (1 + 1 / 2.0) / 5);
  EXPECT_DOUBLE_EQ(m.at[2].recall, 3 / 5.0);
  EXPECT_DOUBLE_EQ(m.at[2].ndcg, (1 + 1 / 2.0 + 1 / std::log2(11.0)) / 5);
}

TEST(RankingMetrics, NobodyToRank) {
  const std::vector<int64_t> none = {kNotRanked};
  const std::vector<int> ks = {10};
  EXPECT_EQ(ComputeMetrics(none, none, ks).at[0].recall, 0);
}

}  // namespace
}  // namespace pixelrec::eval
