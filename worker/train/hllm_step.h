// One micro-step of training: a rank's batch -> its share of the loss and of the gradient (rules W2, W3, W12, W16).
//
// Threads: one thread at a time; collective: every rank of the group must call it with its share of the same micro-step.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/data/batch.h"
#include "worker/data/dataset.h"
#include "worker/dist/process_group.h"
#include "worker/model/hllm.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

struct MicroStep {
  // [] this rank's sum over its valid rows, divided by the valid rows of the whole global batch (mean_per_rank: rule N5's share).
  // Summed over ranks and micro-steps it is the loss; its gradients, summed likewise, are the exact gradient through every
  // gathered negative.
  at::Tensor loss;
  at::Tensor statistics;  // model::NceStatistics of this rank's rows
};
MicroStep ForwardMicroStep(const data::Dataset& dataset, const model::Hllm& hllm, const dist::ProcessGroup& group,
                           const data::RankBatch& batch, const CompatTraining& compat = {});
// The same behind the item LLM: items_IH are the embeddings of batch.items.
MicroStep ForwardFromItems(const at::Tensor& items_IH, const model::Hllm& hllm, const dist::ProcessGroup& group,
                           const data::RankBatch& batch, const CompatTraining& compat);

}  // namespace pixelrec::train
