#include "worker/train/ranking_record.h"

#include "worker/eval/baselines.h"
#include "worker/eval/metric_groups.h"
#include "worker/eval/ranking_metrics.h"

namespace pixelrec::train {
namespace {

std::vector<RankingRecord::At> AtOf(const eval::RankingMetrics& metrics) {
  std::vector<RankingRecord::At> at;
  for (const eval::MetricAtK& m : metrics.at) at.push_back({.k = m.k, .recall = m.recall, .ndcg = m.ndcg});
  return at;
}

}  // namespace

RankingRecord RankingOf(const data::Dataset& dataset, eval::Split split, const eval::TargetRanks& ranks,
                        std::span<const int> ks) {
  const eval::RankingMetrics all = eval::ComputeMetrics(ranks.ranks, ranks.ties, ks);
  RankingRecord record{
      .at = AtOf(all), .users = all.users, .masked_targets = all.masked_targets, .tied_targets = all.tied_targets, .groups = {}};
  for (const eval::MetricGroup& group : eval::ComputeGroups(dataset, split, ranks, ks)) {
    record.groups.push_back({.by = group.by,
                             .at_least = group.at_least,
                             .at_most = group.at_most,
                             .users = group.metrics.users,
                             .at = AtOf(group.metrics)});
  }
  return record;
}

void RankTest(const data::Dataset& dataset, const eval::TargetRanks& ranks, std::span<const int> ks, ResultRecord& result) {
  constexpr eval::Split kTest = eval::Split::kTest;
  result.test = RankingOf(dataset, kTest, ranks, ks);
  result.popularity = RankingOf(dataset, kTest, eval::RankTargetsByPopularity(dataset, kTest), ks);
  result.last_item = RankingOf(dataset, kTest, eval::RankTargetsByLastItem(dataset, kTest), ks);
}

}  // namespace pixelrec::train
