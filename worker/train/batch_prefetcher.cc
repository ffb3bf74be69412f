#include "worker/train/batch_prefetcher.h"

#include <algorithm>

namespace pixelrec::train {

BatchPrefetcher::BatchPrefetcher(const data::Dataset& dataset, const data::BatchOptions& options, int64_t epoch,
                                 int64_t first_step, int threads)
    : dataset_(dataset),
      options_(options),
      epoch_(epoch),
      step_(first_step),
      steps_(data::StepsPerEpoch(dataset, options)),
      ahead_(static_cast<size_t>(std::max(1, threads))),
      policy_(threads > 0 ? std::launch::async : std::launch::deferred) {
  for (size_t i = 0; i < ahead_; ++i) Schedule();
}

void BatchPrefetcher::Schedule() {
  if (step_ >= steps_) return;
  // A batch is a pure function of its position: which thread makes it doesn't matter.
  pending_.push_back(std::async(
      policy_, [this, step = step_, micro = micro_] { return data::MakeBatch(dataset_, options_, epoch_, step, micro); }));
  if (++micro_ >= data::MicroSteps(dataset_, options_, step_)) {
    micro_ = 0;
    ++step_;
  }
}

data::RankBatch BatchPrefetcher::Next() {
  data::RankBatch batch = pending_.front().get();
  pending_.pop_front();
  Schedule();
  return batch;
}

}  // namespace pixelrec::train
