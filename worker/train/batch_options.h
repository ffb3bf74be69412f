// How a job draws its batches: what its trainers use, and what replays the sequence without training.
#pragma once

#include "worker/data/batch.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

inline data::BatchOptions BatchOptionsOf(const TrainJob& job) {
  return {.seed = job.seed,
          .global_batch_size = job.global_batch_size,
          .micro_batch_size = job.grad_cache ? job.global_batch_size : job.micro_batch_size,
          .num_negatives = job.num_negatives,
          .rank = job.rank,
          .world_size = job.world_size,
          .compat = job.data_compat,
          .reference_ranks = job.reference_ranks,
          .data_split = job.data_split,
          .item_emb_token_n = job.item_emb_token_n};
}

}  // namespace pixelrec::train
