#include "worker/eval/item_matrix.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <numeric>
#include <vector>

namespace pixelrec::eval {
namespace {

// First item of every call, and one past the last item. The borders know nothing of ranks: a matrix product may round otherwise
// for another number of rows, and the embeddings must be the same at any world size, to the bit.
std::vector<uint32_t> CallBorders(const data::Dataset& dataset) {
  std::vector<uint32_t> starts = {1};
  int64_t tokens = 0;
  for (uint32_t item = 1; item <= dataset.num_items(); ++item) {
    tokens += static_cast<int64_t>(dataset.tokens(item).size()) + 1;
    if (tokens < model::kTokensPerCall && item != dataset.num_items()) continue;
    starts.push_back(item + 1);
    tokens = 0;
  }
  return starts;
}

size_t ShareStart(int64_t calls, int64_t rank, int64_t world_size) { return static_cast<size_t>(calls * rank / world_size); }

}  // namespace

model::PackedItems PackItems(const data::Dataset& dataset, std::span<const uint32_t> items) {
  model::PackedItems packed;
  for (const uint32_t item : items) packed.Append(dataset.tokens(item));
  return packed;
}

at::Tensor EncodeAllItems(const data::Dataset& dataset, const model::Hllm& hllm, const dist::ProcessGroup& group,
                          const std::function<void(double)>& progress) {
  const at::NoGradGuard no_graph;
  const std::vector<uint32_t> starts = CallBorders(dataset);
  const auto calls = static_cast<int64_t>(starts.size()) - 1, world = int64_t{group.world_size()};
  std::vector<int64_t> rows_by_rank;
  for (int64_t r = 0; r < world; ++r)
    rows_by_rank.push_back(starts[ShareStart(calls, r + 1, world)] - starts[ShareStart(calls, r, world)]);
  const size_t first = ShareStart(calls, group.rank(), world), last = ShareStart(calls, group.rank() + 1, world);
  std::vector<at::Tensor> parts;
  for (size_t call = first; call < last; ++call) {
    std::vector<uint32_t> items(starts[call + 1] - starts[call]);
    std::iota(items.begin(), items.end(), starts[call]);
    parts.push_back(hllm.EncodeItems(PackItems(dataset, items)).to(at::kFloat));
    if (progress) progress(static_cast<double>(call + 1 - first) / static_cast<double>(last - first));
  }
  const at::TensorOptions fp32 = hllm.weights().item_emb_tokens.options().dtype(at::kFloat).requires_grad(false);
  const int64_t hidden = hllm.options().item_llm.hidden_size;
  const at::Tensor mine = parts.empty() ? at::zeros({0, hidden}, fp32) : at::cat(parts, 0);
  return at::cat({at::zeros({1, hidden}, fp32), group.AllGatherRows(mine, rows_by_rank)}, 0);
}

}  // namespace pixelrec::eval
