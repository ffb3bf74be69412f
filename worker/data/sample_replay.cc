#include "worker/data/sample_replay.h"

#include <utility>

namespace pixelrec::data {
namespace {

BatchOptions OfOneRank(BatchOptions options) {
  options.rank = 0;
  options.world_size = 1;
  return options;
}

}  // namespace

SampleReplay::SampleReplay(const Dataset& dataset, BatchOptions options)
    : dataset_(dataset),
      options_(OfOneRank(std::move(options))),
      steps_per_epoch_(StepsPerEpoch(dataset, options_)),
      visited_(dataset.samples().size()) {}

void SampleReplay::AdvanceTo(int64_t step) {
  while (step_ < step && steps_per_epoch_ > 0) TakeStep();
}

void SampleReplay::TakeStep() {
  const int64_t epoch = step_ / steps_per_epoch_ + 1, step_in_epoch = step_ % steps_per_epoch_;
  SampleDigest digest;
  const int64_t micro_steps = MicroSteps(dataset_, options_, step_in_epoch);
  for (int64_t micro = 0; micro < micro_steps; ++micro) {
    const RankBatch batch = MakeBatch(dataset_, options_, epoch, step_in_epoch, micro);
    digest.Add(batch, epoch, step_in_epoch);
    current_.samples += static_cast<int64_t>(batch.samples.size());
    samples_ += static_cast<int64_t>(batch.samples.size());
    for (const uint64_t sample : batch.samples) {
      if (!visited_[sample]) ++current_.distinct;
      visited_[sample] = true;
    }
  }
  digest_.Merge(digest);
  current_.digest.Merge(digest);
  ++step_;
  if (step_ % steps_per_epoch_ != 0) return;
  current_.epoch = epoch;
  current_.step = step_;
  epochs_.push_back(std::exchange(current_, {}));
  visited_.assign(visited_.size(), false);
}

}  // namespace pixelrec::data
