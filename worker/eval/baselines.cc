#include "worker/eval/baselines.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace pixelrec::eval {
namespace {

// place[item]: 1 for the most popular one.
std::vector<int64_t> PopularityPlaces(const data::Dataset& dataset) {
  const auto counts = dataset.train_counts();
  std::vector<uint32_t> order(dataset.num_items());
  std::iota(order.begin(), order.end(), 1U);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return counts[a] > counts[b]; });
  std::vector<int64_t> place(counts.size());
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<int64_t>(i) + 1;
  return place;
}

// rank_of(distinct history ascending, last item, target) for every user whose target isn't masked.
template <typename RankOf>
TargetRanks RankEveryUser(const data::Dataset& dataset, Split split, const RankOf& rank_of) {
  TargetRanks result = NobodyRanked(dataset);
  for (const uint32_t user : dataset.eval_users()) {
    const auto events = dataset.history(user);
    const size_t length = HistoryLength(events.size(), split);
    std::vector<uint32_t> history(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(length));
    std::sort(history.begin(), history.end());
    history.erase(std::unique(history.begin(), history.end()), history.end());
    const uint32_t target = events[length];
    const bool masked = std::binary_search(history.begin(), history.end(), target);
    result.ranks[user] = masked ? kMaskedTarget : rank_of(history, events[length - 1], target);
  }
  return result;
}

// Pairs (item, the item after it) of all train parts, sorted: the successors of an item lie together.
class Transitions {
 public:
  explicit Transitions(const data::Dataset& dataset) {
    for (const uint32_t user : dataset.eval_users()) {
      const auto events = dataset.history(user);
      const auto train = events.first(HistoryLength(events.size(), Split::kValidation));
      for (size_t i = 1; i < train.size(); ++i) pairs_.emplace_back(train[i - 1], train[i]);
    }
    std::sort(pairs_.begin(), pairs_.end());
  }

  struct Successor {
    uint32_t item;
    int64_t count;
  };
  std::vector<Successor> Of(uint32_t item) const {
    std::vector<Successor> successors;
    auto pair = std::lower_bound(pairs_.begin(), pairs_.end(), std::pair(item, 0U));
    for (; pair != pairs_.end() && pair->first == item; ++pair) {
      if (successors.empty() || successors.back().item != pair->second) successors.push_back({pair->second, 0});
      ++successors.back().count;
    }
    return successors;
  }

 private:
  std::vector<std::pair<uint32_t, uint32_t>> pairs_;
};

}  // namespace

TargetRanks RankTargetsByPopularity(const data::Dataset& dataset, Split split) {
  const std::vector<int64_t> place = PopularityPlaces(dataset);
  return RankEveryUser(dataset, split, [&](std::span<const uint32_t> history, uint32_t, uint32_t target) {
    return place[target] - std::count_if(history.begin(), history.end(), [&](uint32_t i) { return place[i] < place[target]; });
  });
}

TargetRanks RankTargetsByLastItem(const data::Dataset& dataset, Split split) {
  const std::vector<int64_t> place = PopularityPlaces(dataset);
  const Transitions transitions(dataset);
  return RankEveryUser(dataset, split, [&](std::span<const uint32_t> history, uint32_t last, uint32_t target) {
    std::vector<Transitions::Successor> successors = transitions.Of(last);
    std::erase_if(successors, [&](const auto& s) { return std::binary_search(history.begin(), history.end(), s.item); });
    const auto found = std::find_if(successors.begin(), successors.end(), [&](const auto& s) { return s.item == target; });
    const auto more_popular = [&](const auto& s) { return place[s.item] < place[target]; };
    if (found != successors.end()) {
      return 1 + std::count_if(successors.begin(), successors.end(), [&](const auto& s) {
               return s.count > found->count || (s.count == found->count && more_popular(s));
             });
    }
    // Every successor comes before the target; of the rest, the more popular ones.
    const auto history_ahead =
        std::count_if(history.begin(), history.end(), [&](uint32_t i) { return place[i] < place[target]; });
    const auto successors_ahead = std::count_if(successors.begin(), successors.end(), more_popular);
    return place[target] - history_ahead - successors_ahead + static_cast<int64_t>(successors.size());
  });
}

}  // namespace pixelrec::eval
