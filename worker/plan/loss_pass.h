// From item and user embeddings to the loss and back, as worker/train/hllm_step.cc and worker/model/hllm.cc compute it.
//
// Threads: immutable once made. Units: bytes. Shape letters: R pairs, K negatives of all ranks, I items, H hidden.
#pragma once

#include <cstdint>

#include "worker/plan/batch_shape.h"
#include "worker/plan/state_memory.h"
#include "worker/plan/timeline.h"

namespace pixelrec::plan {

class LossPass {
 public:
  LossPass(const BatchShape& shape, int64_t hidden, const Widths& widths, int world_size);

  // Before the user LLM: this rank's negatives, and with several ranks everybody's.
  void GatherNegatives(Timeline& timeline) const;
  // With the users' outputs held; keeps what the backward pass needs, the users' outputs among it.
  void Forward(Timeline& timeline) const;
  // To the gradients of users and negatives, and what the targets add to that of the items.
  void Backward(Timeline& timeline) const;
  // After the user LLM's backward pass, whose inputs' gradient is held: to the gradient of the items alone.
  void ReturnToItems(Timeline& timeline) const;

 private:
  int64_t users_;       // [R, H], and the user LLM's inputs
  int64_t targets_;     // [R, H]
  int64_t items_;       // [I, H]
  int64_t mine_;        // negatives of this rank, [., H]
  int64_t padded_;      // filled up to those of the rank with most
  int64_t negatives_;   // [K, H]
  int64_t fp32_pairs_;  // [R, H] in fp32
  int64_t fp32_negatives_;
  int64_t converted_;  // copies of users, targets and negatives in fp32, where they aren't
  int64_t scores_;     // [R, K] in fp32
  int64_t logits_;     // [R, 1 + K] in fp32
  int64_t filter_;     // [R, K] of bytes
  int world_size_;
};

}  // namespace pixelrec::plan
