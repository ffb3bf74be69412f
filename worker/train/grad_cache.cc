#include "worker/train/grad_cache.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include <numeric>
#include <span>

#include "worker/eval/item_matrix.h"
#include "worker/train/hllm_step.h"
#include "worker/train/lap.h"

namespace pixelrec::train {

int64_t CachedPasses(const data::Dataset& dataset, data::BatchOptions options, int64_t micro_batch_size, int64_t step_in_epoch) {
  options.micro_batch_size = micro_batch_size;
  return data::MicroSteps(dataset, options, step_in_epoch);
}

std::vector<size_t> PassBorders(const std::vector<int64_t>& weights, int64_t passes) {
  const int64_t total = std::accumulate(weights.begin(), weights.end(), int64_t{0});
  std::vector<size_t> borders = {0};
  int64_t sum = 0;
  size_t next = 0;
  for (int64_t pass = 1; pass < passes; ++pass) {
    // An item goes where its middle lies.
    while (next < weights.size() && (2 * sum + weights[next]) * passes <= 2 * total * pass) sum += weights[next++];
    borders.push_back(next);
  }
  borders.push_back(weights.size());
  return borders;
}

CachedStep RunCachedStep(const data::Dataset& dataset, const model::Hllm& hllm, const dist::ProcessGroup& group,
                         dist::UnitExchange& exchange, const data::RankBatch& batch, int64_t passes) {
  Lap lap;
  std::vector<int64_t> tokens;
  for (const uint32_t item : batch.items) tokens.push_back(static_cast<int64_t>(dataset.tokens(item).size()) + 1);
  const std::vector<size_t> borders = PassBorders(tokens, passes);
  const auto encode = [&](size_t pass) {
    const std::span<const uint32_t> items(batch.items);
    return hllm.EncodeItems(eval::PackItems(dataset, items.subspan(borders[pass], borders[pass + 1] - borders[pass])))
        .to(at::kFloat);
  };

  std::vector<at::Tensor> encoded;
  {
    const at::NoGradGuard no_graph;
    for (size_t pass = 0; pass + 1 < borders.size(); ++pass) encoded.push_back(encode(pass));
  }
  const at::Tensor items_IH = at::cat(encoded).requires_grad_(true);
  encoded.clear();
  const MicroStep forward = ForwardFromItems(items_IH, hllm, group, batch, {});
  CachedStep done{.loss = forward.loss.item<double>(), .statistics = forward.statistics, .forward_seconds = lap()};

  forward.loss.backward();
  const at::Tensor gradient_IH = items_IH.grad().defined() ? items_IH.grad() : at::zeros_like(items_IH);
  done.backward_seconds += lap();
  for (size_t pass = 0; pass + 1 < borders.size(); ++pass) {
    const at::Tensor again = encode(pass);
    const auto first = static_cast<int64_t>(borders[pass]), count = static_cast<int64_t>(borders[pass + 1]) - first;
    // With a schedule it always does, on all ranks; without one, a frozen model that pools leaves nothing to descend to.
    if (again.requires_grad()) again.backward(gradient_IH.narrow(0, first, count));
    done.backward_seconds += lap();
    exchange.FinishBackward(pass + 2 == borders.size());
    done.communication_seconds += lap();
  }
  return done;
}

}  // namespace pixelrec::train
