#include "worker/eval/metric_groups.h"

#include <array>
#include <limits>

namespace pixelrec::eval {
namespace {

constexpr int64_t kNoBorder = std::numeric_limits<int64_t>::max();
constexpr std::array<int64_t, 4> kTrainCounts = {0, 5, 20, kNoBorder};  // upper borders
constexpr std::array<int64_t, 5> kHistoryLengths = {5, 10, 20, 50, kNoBorder};

// One group per border; value_of(user) is what falls between the borders.
template <typename ValueOf>
void AddGroups(const std::string& by, int64_t lowest, std::span<const int64_t> upper_borders, const data::Dataset& dataset,
               const TargetRanks& ranks, std::span<const int> ks, const ValueOf& value_of, std::vector<MetricGroup>& groups) {
  int64_t at_least = lowest;
  for (const int64_t at_most : upper_borders) {
    std::vector<int64_t> of_group(ranks.ranks.size(), kNotRanked);
    for (const uint32_t user : dataset.eval_users()) {
      const int64_t value = value_of(user);
      if (value >= at_least && value <= at_most) of_group[user] = ranks.ranks[user];
    }
    RankingMetrics metrics = ComputeMetrics(of_group, ranks.ties, ks);
    if (metrics.users > 0) groups.push_back({by, at_least, at_most, std::move(metrics)});
    if (at_most != kNoBorder) at_least = at_most + 1;
  }
}

}  // namespace

std::vector<MetricGroup> ComputeGroups(const data::Dataset& dataset, Split split, const TargetRanks& ranks,
                                       std::span<const int> ks) {
  const auto length = [&](uint32_t user) { return HistoryLength(dataset.history(user).size(), split); };
  const auto train_count = [&](uint32_t user) {
    return static_cast<int64_t>(dataset.train_counts()[dataset.history(user)[length(user)]]);
  };
  std::vector<MetricGroup> groups;
  AddGroups(kByTargetTrainCount, 0, kTrainCounts, dataset, ranks, ks, train_count, groups);
  AddGroups(
      kByHistoryLength, 1, kHistoryLengths, dataset, ranks, ks, [&](uint32_t user) { return static_cast<int64_t>(length(user)); },
      groups);
  return groups;
}

}  // namespace pixelrec::eval
