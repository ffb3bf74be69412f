#include "worker/eval/item_matrix.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace pixelrec::eval {
namespace {

// First item of every part (model::PartsOf), and one past the last item. The borders know nothing of ranks: a matrix product may
// round otherwise for another number of rows, and the embeddings must be the same at any world size, to the bit.
std::vector<uint32_t> PartBorders(const data::Dataset& dataset) {
  model::Segments items;
  for (uint32_t item = 1; item <= dataset.num_items(); ++item)
    items.Append(static_cast<int64_t>(dataset.tokens(item).size()) + 1);
  std::vector<uint32_t> starts = {1};
  for (const int64_t count : model::PartsOf(items)) starts.push_back(starts.back() + static_cast<uint32_t>(count));
  return starts;
}

int64_t ShareStart(int64_t parts, int64_t rank, int64_t world_size) { return parts * rank / world_size; }

}  // namespace

model::PackedItems PackItems(const data::Dataset& dataset, std::span<const uint32_t> items) {
  model::PackedItems packed;
  for (const uint32_t item : items) packed.Append(dataset.tokens(item));
  return packed;
}

at::Tensor EncodeAllItems(const data::Dataset& dataset, const model::Hllm& hllm, const dist::ProcessGroup& group,
                          const std::function<void(double)>& progress) {
  const at::NoGradGuard no_graph;
  const std::vector<uint32_t> starts = PartBorders(dataset);
  const auto parts = static_cast<int64_t>(starts.size()) - 1, world = int64_t{group.world_size()};
  std::vector<int64_t> rows_by_rank;
  int64_t calls = 0;
  for (int64_t r = 0; r < world; ++r) {
    const int64_t first = ShareStart(parts, r, world), last = ShareStart(parts, r + 1, world);
    rows_by_rank.push_back(starts[static_cast<size_t>(last)] - starts[static_cast<size_t>(first)]);
    calls = std::max(calls, (last - first + model::kPartsPerCall - 1) / model::kPartsPerCall);
  }
  const int64_t first = ShareStart(parts, group.rank(), world), last = ShareStart(parts, group.rank() + 1, world);
  std::vector<at::Tensor> encoded;
  // Every rank makes the same number of calls, empty ones at the end: they may be collective (model::WeightSchedule).
  for (int64_t call = 0; call < calls; ++call) {
    const uint32_t begin = starts[static_cast<size_t>(std::min(first + call * model::kPartsPerCall, last))];
    const uint32_t end = starts[static_cast<size_t>(std::min(first + (call + 1) * model::kPartsPerCall, last))];
    std::vector<uint32_t> items(end - begin);
    std::iota(items.begin(), items.end(), begin);
    encoded.push_back(hllm.EncodeItems(PackItems(dataset, items)).to(at::kFloat));
    if (progress) progress(static_cast<double>(call + 1) / static_cast<double>(calls));
  }
  const at::TensorOptions fp32 = hllm.weights().item_emb_tokens.options().dtype(at::kFloat).requires_grad(false);
  const int64_t hidden = hllm.options().item_llm.hidden_size;
  const at::Tensor mine = encoded.empty() ? at::zeros({0, hidden}, fp32) : at::cat(encoded, 0);
  return at::cat({at::zeros({1, hidden}, fp32), group.AllGatherRows(mine, rows_by_rank)}, 0);
}

}  // namespace pixelrec::eval
