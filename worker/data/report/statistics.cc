#include "worker/data/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pixelrec::data {
namespace {

constexpr int64_t kTokenBins = 32;
constexpr int kCurvePoints = 64;
constexpr size_t kMostPopular = 10;
constexpr double kShares[] = {0.001, 0.01, 0.05, 0.1, 0.2, 0.5};

int64_t Quantile(const std::vector<uint32_t>& sorted, double q) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

Spread SpreadOf(const std::vector<uint32_t>& sorted) {
  if (sorted.empty()) return {};
  const double sum = std::accumulate(sorted.begin(), sorted.end(), 0.0);
  return {.mean = sum / static_cast<double>(sorted.size()),
          .p50 = Quantile(sorted, 0.5),
          .p90 = Quantile(sorted, 0.9),
          .p99 = Quantile(sorted, 0.99),
          .max = sorted.back()};
}

int64_t CountWithin(const std::vector<uint32_t>& sorted, int64_t low, int64_t high) {
  const auto begin = std::lower_bound(sorted.begin(), sorted.end(), low);
  return std::upper_bound(begin, sorted.end(), high) - begin;
}

// Bins of equal width for nearly all values; the last takes the few that are far longer.
std::vector<HistogramBin> EvenHistogram(const std::vector<uint32_t>& sorted) {
  std::vector<HistogramBin> bins;
  if (sorted.empty()) return bins;
  const int64_t width = std::max<int64_t>(1, (Quantile(sorted, 0.995) + kTokenBins - 1) / kTokenBins);
  const int64_t max = sorted.back();
  for (int64_t low = 0; low <= max; low += width) {
    const bool last = static_cast<int64_t>(bins.size()) == kTokenBins;
    const int64_t high = last ? max : std::min(max, low + width - 1);
    bins.push_back({low, high, CountWithin(sorted, low, high)});
    if (last) break;
  }
  return bins;
}

// 1, 2, 3-4, 5-8, 9-16 ...
std::vector<HistogramBin> DoublingHistogram(const std::vector<uint32_t>& sorted) {
  std::vector<HistogramBin> bins;
  if (sorted.empty()) return bins;
  for (int64_t low = 1, high = 1; low <= sorted.back(); low = high + 1, high *= 2) {
    bins.push_back({low, high, CountWithin(sorted, low, high)});
  }
  return bins;
}

// `counts` descending.
void DescribePopularity(const std::vector<uint32_t>& counts, DatasetStatistics& statistics) {
  const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
  const auto items = static_cast<double>(counts.size());
  for (double share : kShares) {
    const auto first = std::min(counts.size(), static_cast<size_t>(std::ceil(share * items)));
    const double sum = std::accumulate(counts.begin(), counts.begin() + static_cast<ptrdiff_t>(first), 0.0);
    statistics.popularity_shares.emplace_back(share, all > 0 ? sum / all : 0);
  }
  for (int point = 0; point <= kCurvePoints && !counts.empty(); ++point) {
    const auto rank = static_cast<int64_t>(std::llround(std::pow(items, static_cast<double>(point) / kCurvePoints)));
    const bool repeated = !statistics.popularity_curve.empty() && statistics.popularity_curve.back().first >= rank;
    if (!repeated) statistics.popularity_curve.emplace_back(rank, counts[static_cast<size_t>(rank) - 1]);
  }
}

}  // namespace

std::vector<uint32_t> Summarise(const StatisticsInput& input, DatasetStatistics& statistics) {
  const size_t items = input.token_lengths.size();
  std::vector<uint32_t> sorted;
  std::copy_if(input.token_lengths.begin(), input.token_lengths.end(), std::back_inserter(sorted),
               [](uint32_t n) { return n > 0; });
  std::sort(sorted.begin(), sorted.end());
  statistics.token_lengths = SpreadOf(sorted);
  statistics.token_histogram = EvenHistogram(sorted);

  sorted.clear();
  for (size_t user = 0; user + 1 < input.history_offsets.size(); ++user) {
    sorted.push_back(static_cast<uint32_t>(input.history_offsets[user + 1] - input.history_offsets[user]));
  }
  std::sort(sorted.begin(), sorted.end());
  statistics.history_lengths = SpreadOf(sorted);
  statistics.history_histogram = DoublingHistogram(sorted);

  std::vector<uint32_t> counts(items, 0);
  for (uint32_t item : input.history) ++counts[item - 1];
  std::vector<uint32_t> best(items);
  std::iota(best.begin(), best.end(), 0u);
  const size_t kept = std::min(kMostPopular, items);
  std::partial_sort(best.begin(), best.begin() + static_cast<ptrdiff_t>(kept), best.end(),
                    [&](uint32_t a, uint32_t b) { return counts[a] != counts[b] ? counts[a] > counts[b] : a < b; });
  best.resize(kept);
  for (uint32_t item : best) statistics.most_popular.push_back({.interactions = counts[item]});
  std::sort(counts.begin(), counts.end(), std::greater<>());
  DescribePopularity(counts, statistics);

  std::vector<uint32_t> train(input.train_counts.begin() + 1, input.train_counts.end());
  std::sort(train.begin(), train.end());
  const int64_t most = train.empty() ? 0 : train.back();
  for (const auto& [low, high] : {std::pair<int64_t, int64_t>{0, 0}, {1, 5}, {6, 20}, {21, std::max<int64_t>(most, 21)}}) {
    statistics.train_count_classes.push_back({low, high, CountWithin(train, low, high)});
  }
  return best;
}

}  // namespace pixelrec::data
