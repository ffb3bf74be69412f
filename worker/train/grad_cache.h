// One step whose whole global batch is one batch of negatives, whatever its size (hllm.md 2.3, rule W12): items are encoded in
// passes without a graph; the loss and the user LLM see all their embeddings at once, and the gradient of each embedding is kept;
// then each pass is encoded again, with a graph, and its part of that gradient goes down through it. Exact, for a second forward
// pass of the item LLM and the activations of one pass.
//
// Threads: one thread at a time; collective: every rank calls it with its share of the same step and the same number of passes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/data/batch.h"
#include "worker/data/dataset.h"
#include "worker/dist/process_group.h"
#include "worker/dist/unit_exchange.h"
#include "worker/model/hllm.h"

namespace pixelrec::train {

struct CachedStep {
  double loss = 0;        // as MicroStep::loss
  at::Tensor statistics;  // model::NceStatistics of this rank's rows
  double forward_seconds = 0;
  double backward_seconds = 0;
  double communication_seconds = 0;
};
// Forward and backward of the whole step; exchange.FinishBackward is called here, the last time with `true`.
CachedStep RunCachedStep(const data::Dataset& dataset, const model::Hllm& hllm, const dist::ProcessGroup& group,
                         dist::UnitExchange& exchange, const data::RankBatch& batch, int64_t passes);

// Passes of a step: as many as gradient accumulation would have micro-steps of `micro_batch_size` (rule W10).
int64_t CachedPasses(const data::Dataset& dataset, data::BatchOptions options, int64_t micro_batch_size, int64_t step_in_epoch);

// `weights` (tokens of each item) cut into `passes` consecutive parts of about equal sums; parts may be empty. -> where each
// begins, and the end: passes + 1 numbers.
std::vector<size_t> PassBorders(const std::vector<int64_t>& weights, int64_t passes);

}  // namespace pixelrec::train
