// The loss on every user's validation target (rule W8): what best_model/ is chosen by.
//
// Threads: one thread at a time; collective.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "worker/data/dataset.h"
#include "worker/dist/process_group.h"
#include "worker/model/hllm.h"

namespace pixelrec::train {

// Mean over all users with at least three events; NaN if there is none. items_IH: eval::EncodeAllItems. The figure depends on
// weights and seed alone: batches and negatives are fixed, and their sums are added in one order at any world size. `advanced` is
// called before every batch.
double ValidationLoss(const data::Dataset& dataset, const model::Hllm& hllm, const at::Tensor& items_IH,
                      const dist::ProcessGroup& group, uint64_t seed, const std::function<void()>& advanced);

}  // namespace pixelrec::train
