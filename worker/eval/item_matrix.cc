#include "worker/eval/item_matrix.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace pixelrec::eval {
namespace {

// Tokens in one call of the item LLM: enough for large matrix products, few enough that a layer's activations stay in cache.
constexpr int64_t kTokensPerCall = 2048;

}  // namespace

model::PackedItems PackItems(const data::Dataset& dataset, std::span<const uint32_t> items) {
  model::PackedItems packed;
  for (const uint32_t item : items) packed.Append(dataset.tokens(item));
  return packed;
}

at::Tensor EncodeAllItems(const data::Dataset& dataset, const model::Hllm& hllm, const dist::ProcessGroup& group,
                          const std::function<void(double)>& progress) {
  const at::NoGradGuard no_graph;
  const int64_t items = dataset.num_items(), world = group.world_size(), rank = group.rank();
  std::vector<int64_t> rows_by_rank;
  for (int64_t r = 0; r < world; ++r) rows_by_rank.push_back(items * (r + 1) / world - items * r / world);
  const int64_t first = 1 + items * rank / world, last = 1 + items * (rank + 1) / world;
  std::vector<at::Tensor> parts;
  for (int64_t item = first; item < last;) {
    model::PackedItems packed;
    const int64_t call_start = item;
    while (item < last && (item == call_start || packed.segments.tokens() < kTokensPerCall)) {
      packed.Append(dataset.tokens(static_cast<uint32_t>(item++)));
    }
    parts.push_back(hllm.EncodeItems(packed).to(at::kFloat));
    if (progress) progress(static_cast<double>(item - first) / static_cast<double>(last - first));
  }
  const at::TensorOptions fp32 = hllm.weights().item_emb_tokens.options().dtype(at::kFloat).requires_grad(false);
  const int64_t hidden = hllm.options().item_llm.hidden_size;
  const at::Tensor mine = parts.empty() ? at::zeros({0, hidden}, fp32) : at::cat(parts, 0);
  return at::cat({at::zeros({1, hidden}, fp32), group.AllGatherRows(mine, rows_by_rank)}, 0);
}

}  // namespace pixelrec::eval
