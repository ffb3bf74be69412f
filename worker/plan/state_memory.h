// What a rank holds from the first step to the last, whatever the batch: weights, gradients, masters, moments, and the buffers in
// which units come and go. Exact: the same arithmetic over UnitLayout that FlatParameters, UnitExchange and AdamW allocate by.
//
// Threads: pure functions. Units: bytes.
#pragma once

#include <cstdint>

#include "worker/dist/unit_layout.h"

namespace pixelrec::plan {

inline constexpr int64_t kMasterBytes = 4;  // masters, their gradients and moments are fp32

struct StateMemory {
  int64_t weights = 0;    // what the model computes with; in fp32 a rank's share of it is its masters
  int64_t masters = 0;    // fp32, where the weights are another memory than these
  int64_t gradients = 0;  // fp32 of what the rank owns, and whole ones where a stage keeps them
  int64_t moments = 0;    // both of AdamW, and its count of steps
  int64_t buffers = 0;    // lent to one unit at a time (stages 2 and 3)
  int64_t total() const { return weights + masters + gradients + moments + buffers; }
};

// Bytes of one element, 4 (fp32) or 2 (bf16).
struct Widths {
  int64_t weights = kMasterBytes;    // and activations; fp32: the masters themselves where a rank holds them, else rounded copies
  int64_t gradients = kMasterBytes;  // as the backward pass adds them up
  int64_t embeddings = kMasterBytes;  // of items, as the user LLM and the loss get them
};
StateMemory StateOf(const dist::UnitLayout& layout, const Widths& widths);

// The copy of its weights and moments that a rank takes when a checkpoint begins, and keeps until it is written. 0: the rank
// writes nothing. Equals the tensors' bytes on disk of this rank's shard, but for gaps between tensors.
int64_t CheckpointCopy(const dist::UnitLayout& layout, int rank);
// Tensors of a whole checkpoint on disk, all ranks together: every trained element's weight and two moments. Headers and manifest
// are a few KB more.
int64_t CheckpointBytes(const dist::UnitLayout& layout);

// Elements of the largest unit that a stage of at least `stage` shards; 0: none.
int64_t LargestUnit(const dist::UnitLayout& layout, int stage);

}  // namespace pixelrec::plan
