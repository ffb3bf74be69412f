// The random items of one sample: its negatives, and what fills the left of a short sequence.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/data/batch.h"
#include "worker/data/dataset.h"

namespace pixelrec::data {

// Draws are keyed by (seed, epoch, sample, slot, try). Under rule T5 `epoch` is the same for all epochs and `sample` the place in
// the sequence, so that the stream repeats over a different order of samples.
struct DrawKey {
  uint64_t seed = 0;
  uint64_t epoch = 0;
  uint64_t sample = 0;
};

// Rule W2: M draws that avoid `chunk`.
void DrawExactNegatives(const Dataset& dataset, const DrawKey& key, std::span<const uint32_t> chunk,
                        std::vector<int64_t>& negatives);

// What the reference draws for `sample`, by the switches of options.compat: rule T3, or T4 where num_negatives is set.
void DrawSampleNegatives(const Dataset& dataset, const BatchOptions& options, const DrawKey& key, const Sample& sample,
                         std::vector<int64_t>& negatives);

// Rule T1: M - length items that avoid the sequence.
void DrawLeftSlots(const Dataset& dataset, const DrawKey& key, const Sample& sample, std::vector<int64_t>& left_slots);

// Negatives of each sample; 0: they belong to the whole step (rule W11).
int64_t NegativesPerSample(const Dataset& dataset, const BatchOptions& options);

}  // namespace pixelrec::data
