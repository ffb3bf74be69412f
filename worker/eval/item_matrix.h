// Embeddings of all items of a dataset, each encoded once, the work shared by the ranks (hllm.md 2.1, evaluation).
//
// Threads: one thread at a time; a collective call: every rank of `group` must make it. Memory: items x hidden fp32.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <span>

#include "worker/data/dataset.h"
#include "worker/dist/process_group.h"
#include "worker/model/hllm.h"

namespace pixelrec::eval {

// Packs the given items' tokens for the item LLM, in order.
model::PackedItems PackItems(const data::Dataset& dataset, std::span<const uint32_t> items);

// -> [num_items + 1, H] fp32, not normalised; row i is item i, row 0 (padding) is zero. No graph is built.
// progress(0-1) is called on this thread as this rank's share advances.
at::Tensor EncodeAllItems(const data::Dataset& dataset, const model::Hllm& hllm, const dist::ProcessGroup& group,
                          const std::function<void(double)>& progress = nullptr);

}  // namespace pixelrec::eval
