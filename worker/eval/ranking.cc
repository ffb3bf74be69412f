#include "worker/eval/ranking.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <limits>
#include <span>

#include "worker/model/index_tensor.h"

namespace pixelrec::eval {
namespace {

// Scores held at once, [users of a batch, items]: 16 MB.
constexpr int64_t kScoresPerBatch = 4 << 20;
constexpr float kMasked = -std::numeric_limits<float>::infinity();

at::Tensor Normalized(const at::Tensor& t) { return t / t.norm(2, {-1}, true); }

// Embeddings of what the user LLM reads: the last M - 1 items of each history (rule V2), then the last output, normalised.
at::Tensor UserVectors(const model::Hllm& hllm, const at::Tensor& items_IH,
                       const std::vector<std::span<const uint32_t>>& histories) {
  model::Segments segments;
  std::vector<int64_t> rows;
  const size_t longest = static_cast<size_t>(hllm.options().max_seq_length - 1);
  for (const auto& history : histories) {
    const auto read = history.last(std::min(history.size(), longest));
    rows.insert(rows.end(), read.begin(), read.end());
    segments.Append(static_cast<int64_t>(read.size()));
  }
  const at::Tensor history = items_IH.index_select(0, model::IndexTensor(rows, items_IH.device()));
  return Normalized(hllm.EncodeUsers(history, segments, model::Rows::kLastOfSegment).to(at::kFloat));
}

// Normalised, padding (row 0) excluded from every ranking by the callers.
at::Tensor ItemVectors(const at::Tensor& items_IH) {
  const at::Tensor normalized = Normalized(items_IH);
  normalized.select(0, 0).zero_();
  return normalized;
}

struct RankAndTies {
  int64_t rank;
  int64_t ties;
};

// scores: [items + 1], overwritten at the masked items.
RankAndTies RankTarget(float* scores, int64_t items, std::span<const uint32_t> history, uint32_t target) {
  const float target_score = scores[target];
  scores[0] = kMasked;
  for (const uint32_t item : history) scores[item] = kMasked;
  if (scores[target] == kMasked) return {kMaskedTarget, 0};
  int64_t higher = 0, equal = 0;
  for (int64_t i = 1; i <= items; ++i) {
    higher += scores[i] > target_score;
    equal += scores[i] == target_score;
  }
  return {higher + 1, equal - 1};
}

}  // namespace

size_t HistoryLength(size_t events, Split split) {
  if (events < 3) return 0;
  return split == Split::kValidation ? events - 2 : events - 1;
}

TargetRanks NobodyRanked(const data::Dataset& dataset) {
  return {.ranks = std::vector<int64_t>(dataset.num_users(), kNotRanked), .ties = std::vector<int64_t>(dataset.num_users(), 0)};
}

TargetRanks RankTargets(const data::Dataset& dataset, const model::Hllm& hllm, const at::Tensor& items_IH,
                        const dist::ProcessGroup& group, Split split, at::ScalarType score_type,
                        const std::function<void()>& advanced) {
  const at::NoGradGuard no_graph;
  const int64_t items = dataset.num_items();
  const at::Tensor item_vectors_HI = ItemVectors(items_IH).to(score_type).t().contiguous();
  TargetRanks result = NobodyRanked(dataset);
  const std::span<const uint32_t> all = dataset.eval_users();
  // Batches know nothing of ranks, like the calls of EncodeAllItems: every score is the same at any world size, to the bit.
  const auto batch = static_cast<size_t>(std::clamp<int64_t>(kScoresPerBatch / (items + 1), 1, 256));
  const auto stride = batch * static_cast<size_t>(group.world_size());
  // Every rank makes the same number of passes, an empty one at the end: they may be collective (model::WeightSchedule).
  for (size_t first = 0; first < all.size(); first += stride) {
    advanced();
    const size_t start = std::min(first + batch * static_cast<size_t>(group.rank()), all.size());
    const std::span<const uint32_t> users = all.subspan(start, std::min(batch, all.size() - start));
    std::vector<std::span<const uint32_t>> histories;
    for (const uint32_t user : users) {
      const auto events = dataset.history(user);
      histories.push_back(events.first(HistoryLength(events.size(), split)));
    }
    const at::Tensor scores = UserVectors(hllm, items_IH, histories).to(score_type).mm(item_vectors_HI).to(at::kFloat).cpu();
    at::parallel_for(0, static_cast<int64_t>(users.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto n = static_cast<size_t>(i);
        const uint32_t target = dataset.history(users[n])[histories[n].size()];
        const RankAndTies ranked = RankTarget(scores.mutable_data_ptr<float>() + i * (items + 1), items, histories[n], target);
        result.ranks[users[n]] = ranked.rank;
        result.ties[users[n]] = ranked.ties;
      }
    });
  }
  // Every user was ranked by one rank and is 0 elsewhere: the sum is the union, exact at any world size.
  for (std::vector<int64_t>* values : {&result.ranks, &result.ties}) {
    group.AllReduceSum(at::from_blob(values->data(), {static_cast<int64_t>(values->size())}, at::kLong));
  }
  return result;
}

std::vector<ScoredItem> TopItems(const model::Hllm& hllm, const at::Tensor& items_IH, const std::vector<uint32_t>& history,
                                 int k) {
  const at::NoGradGuard no_graph;
  const at::Tensor scores = ItemVectors(items_IH).mv(UserVectors(hllm, items_IH, {history}).select(0, 0)).cpu();
  float* values = scores.mutable_data_ptr<float>();
  values[0] = kMasked;
  for (const uint32_t item : history) values[item] = kMasked;
  std::vector<ScoredItem> ranked;
  for (int64_t i = 1; i < scores.size(0); ++i) {
    if (values[i] != kMasked) ranked.push_back({.item = static_cast<uint32_t>(i), .score = values[i]});
  }
  const auto count = std::min(ranked.size(), static_cast<size_t>(k));
  std::partial_sort(
      ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(count), ranked.end(),
      [](const ScoredItem& a, const ScoredItem& b) { return a.score != b.score ? a.score > b.score : a.item < b.item; });
  ranked.resize(count);
  return ranked;
}

}  // namespace pixelrec::eval
