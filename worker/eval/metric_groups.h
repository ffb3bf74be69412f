// Recall@k and NDCG@k apart for rare and popular targets, and for short and long histories: where a recommender earns its mean.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "worker/data/dataset.h"
#include "worker/eval/ranking.h"
#include "worker/eval/ranking_metrics.h"

namespace pixelrec::eval {

inline constexpr char kByTargetTrainCount[] = "target_train_count";  // how often the target occurs in the train parts
inline constexpr char kByHistoryLength[] = "history_length";         // events before the target

struct MetricGroup {
  std::string by;
  int64_t at_least = 0;
  int64_t at_most = 0;  // INT64_MAX: no upper border
  RankingMetrics metrics;
};

// Train counts 0, 1-5, 6-20, more; history lengths 1-5, 6-10, 11-20, 21-50, more. Groups that no user falls into are left out.
// The groups of one kind part the users: their sums are the sums of ComputeMetrics.
std::vector<MetricGroup> ComputeGroups(const data::Dataset& dataset, Split split, const TargetRanks& ranks,
                                       std::span<const int> ks);

}  // namespace pixelrec::eval
