// Ranks of targets -> Recall@k and NDCG@k (rules V4, W9).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pixelrec::eval {

inline constexpr int64_t kMaskedTarget = -1;  // the target lies in its own history: a miss (rule W9)
inline constexpr int64_t kNotRanked = 0;      // user without a target (fewer than three events, rule W7)

struct MetricAtK {
  int k = 0;
  double recall = 0;  // share of users whose target is among the first k
  double ndcg = 0;    // mean of 1/log2(rank + 1), 0 past k
};

struct RankingMetrics {
  std::vector<MetricAtK> at;
  int64_t users = 0;
  int64_t masked_targets = 0;
  int64_t tied_targets = 0;  // users whose target shares its score with another item
};

// ranks: one per user, from 1, or kMaskedTarget or kNotRanked; ties: other items with exactly the target's score.
RankingMetrics ComputeMetrics(std::span<const int64_t> ranks, std::span<const int64_t> ties, std::span<const int> ks);

}  // namespace pixelrec::eval
