// Prepares the next micro-steps' batches on threads of their own, in order (dataloader_num_workers).
//
// Threads: Next is called by one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <future>

#include "worker/data/batch.h"

namespace pixelrec::train {

class BatchPrefetcher {
 public:
  // Batches of `epoch` from `first_step` on. threads 0: made when asked for.
  BatchPrefetcher(const data::Dataset& dataset, const data::BatchOptions& options, int64_t epoch, int64_t first_step,
                  int threads);

  // The following micro-step's batch. Must not be called past the end of the epoch.
  data::RankBatch Next();

 private:
  void Schedule();

  const data::Dataset& dataset_;
  data::BatchOptions options_;
  int64_t epoch_;
  int64_t step_;  // next to be scheduled
  int64_t micro_ = 0;
  int64_t steps_;
  size_t ahead_;
  std::launch policy_;
  std::deque<std::future<data::RankBatch>> pending_;
};

}  // namespace pixelrec::train
