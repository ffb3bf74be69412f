#include "worker/data/sample_sequence.h"

#include <algorithm>

namespace pixelrec::data {
namespace {

constexpr uint64_t kReferenceSeed = 0;

uint64_t PaddedSize(uint64_t samples, uint64_t ranks) { return ranks == 0 ? samples : (samples + ranks - 1) / ranks * ranks; }

}  // namespace

SampleSequence::SampleSequence(const BatchOptions& options, uint64_t epoch, uint64_t samples)
    : order_(options.compat.reference_sampler ? kReferenceSeed : options.seed, epoch, samples),
      samples_(samples),
      ranks_(options.compat.reference_sampler ? static_cast<uint64_t>(options.reference_ranks) : 0),
      per_rank_(static_cast<uint64_t>(std::max<int64_t>(1, options.micro_batch_size / options.reference_ranks))),
      size_(PaddedSize(samples, ranks_)) {}

SampleSequence::Slot SampleSequence::Place(uint64_t position) const {
  if (ranks_ == 0) return {position, 0};
  const uint64_t micro_step = position / (ranks_ * per_rank_);
  const uint64_t first = micro_step * per_rank_;  // in each rank's list
  const uint64_t batch = std::min(per_rank_, size_ / ranks_ - first);
  const uint64_t within = position - first * ranks_;
  const uint64_t rank = within / batch;
  const uint64_t strided = rank + ranks_ * (first + within % batch);
  return {strided % samples_, static_cast<int>(rank)};
}

}  // namespace pixelrec::data
