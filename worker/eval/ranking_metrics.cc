#include "worker/eval/ranking_metrics.h"

#include <cmath>
#include <cstddef>

namespace pixelrec::eval {

RankingMetrics ComputeMetrics(std::span<const int64_t> ranks, std::span<const int64_t> ties, std::span<const int> ks) {
  RankingMetrics metrics;
  for (const int k : ks) metrics.at.push_back({.k = k});
  for (size_t user = 0; user < ranks.size(); ++user) {
    const int64_t rank = ranks[user];
    if (rank == kNotRanked) continue;
    ++metrics.users;
    if (rank == kMaskedTarget) {
      ++metrics.masked_targets;
      continue;
    }
    if (ties[user] > 0) ++metrics.tied_targets;
    for (MetricAtK& at : metrics.at) {
      if (rank > at.k) continue;
      at.recall += 1;
      at.ndcg += 1 / std::log2(static_cast<double>(rank) + 1);
    }
  }
  for (MetricAtK& at : metrics.at) {
    if (metrics.users == 0) continue;
    at.recall /= static_cast<double>(metrics.users);
    at.ndcg /= static_cast<double>(metrics.users);
  }
  return metrics;
}

}  // namespace pixelrec::eval
