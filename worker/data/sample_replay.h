// What the steps of a job visit, step after step, without training: the sequence that every run of it must have followed.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/data/batch.h"
#include "worker/data/dataset.h"

namespace pixelrec::data {

class SampleReplay {
 public:
  // `dataset` must outlive it. options.rank and world_size are taken as 0 of 1: what is visited doesn't depend on them (W1, W2).
  SampleReplay(const Dataset& dataset, BatchOptions options);

  struct Epoch {
    int64_t epoch = 0;  // from 1
    int64_t step = 0;   // its last
    int64_t samples = 0;
    int64_t distinct = 0;  // less than `samples` only with rule T5's padding
    SampleDigest digest;
  };

  // Goes on to `step` (optimiser steps from the start of training), not before where it stands.
  void AdvanceTo(int64_t step);

  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  // From the start of training.
  int64_t samples() const { return samples_; }
  const SampleDigest& digest() const { return digest_; }
  const std::vector<Epoch>& epochs() const { return epochs_; }

 private:
  void TakeStep();

  const Dataset& dataset_;
  const BatchOptions options_;
  const int64_t steps_per_epoch_;
  int64_t step_ = 0;
  int64_t samples_ = 0;
  SampleDigest digest_;
  Epoch current_;
  std::vector<bool> visited_;  // of the epoch in hand, by sample
  std::vector<Epoch> epochs_;  // whole ones
};

}  // namespace pixelrec::data
