// Which sample stands where in an epoch. A step is a slice of the sequence.
//
// Threads: immutable.
#pragma once

#include <cstdint>

#include "worker/data/batch.h"

namespace pixelrec::data {

// Exact (rule W1): every sample once, in the keyed order of (seed, epoch). As the reference (rule T5): the order of (0, epoch),
// repeated from its start up to a multiple of R ranks; rank r has the positions r, r + R, r + 2R ...; a micro-step is B samples
// of every rank, those of rank 0 first, and the last micro-step of an epoch is short on all ranks alike.
class SampleSequence {
 public:
  SampleSequence(const BatchOptions& options, uint64_t epoch, uint64_t samples);

  uint64_t size() const { return size_; }
  // 0 <= position < size().
  uint64_t operator[](uint64_t position) const { return order_[Place(position).index]; }
  // Rank of the reference's run that the position belongs to; 0 in exact.
  int rank_of(uint64_t position) const { return Place(position).rank; }

 private:
  struct Slot {
    uint64_t index;  // in the order
    int rank;
  };
  Slot Place(uint64_t position) const;

  const SampleOrder order_;
  const uint64_t samples_;
  const uint64_t ranks_;     // 0: exact
  const uint64_t per_rank_;  // B
  const uint64_t size_;
};

}  // namespace pixelrec::data
