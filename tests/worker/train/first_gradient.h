// The gradient of a job's first step, summed over ranks as the trainer does it, wherever its shares lie.
#pragma once

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/worker/train/small_job.h"
#include "worker/train/grad_cache.h"
#include "worker/train/hllm_step.h"
#include "worker/train/session.h"

namespace pixelrec::train {

// Every trained element in the order of the units, without the gaps, from this rank's shares and the other ranks'. Collective.
inline at::Tensor WithoutGaps(const Session& s, const at::Tensor& values) {
  std::vector<at::Tensor> parts;
  s.exchange->ForEachWhole(values, [&](size_t unit, const at::Tensor& whole) {
    for (const dist::PlacedTensor& leaf : s.parameters->layout().units()[unit].leaves)
      parts.push_back(whole.narrow(0, leaf.offset, leaf.numel()));
  });
  return at::cat(parts);
}

inline at::Tensor FirstGradient(const TrainJob& job, int world_size) {
  RecordingLink::ForgetStore();
  std::vector<at::Tensor> gradients(static_cast<size_t>(world_size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank, mine = job]() mutable {
      mine.rank = mine.gpu = rank;
      mine.world_size = world_size;
      RecordingLink link;
      auto session = OpenSession(mine, link);
      ASSERT_TRUE(session.ok()) << session.status();
      Session& s = **session;
      if (job.grad_cache) {
        const int64_t passes = CachedPasses(*s.dataset, s.batches, job.micro_batch_size, 0);
        RunCachedStep(*s.dataset, *s.hllm, s.group, *s.exchange, data::MakeBatch(*s.dataset, s.batches, 1, 0, 0), passes);
      }
      const int64_t micro_steps = job.grad_cache ? 0 : data::MicroSteps(*s.dataset, s.batches, 0);
      for (int64_t micro = 0; micro < micro_steps; ++micro) {
        ForwardMicroStep(*s.dataset, *s.hllm, s.group, data::MakeBatch(*s.dataset, s.batches, 1, 0, micro)).loss.backward();
        s.exchange->FinishBackward(micro + 1 == micro_steps);
      }
      gradients[static_cast<size_t>(rank)] = WithoutGaps(s, s.parameters->gradients()).cpu();
    });
  }
  for (std::thread& t : threads) t.join();
  for (const at::Tensor& g : gradients) EXPECT_TRUE(at::equal(g, gradients[0])) << "ranks disagree";
  return gradients[0];
}

}  // namespace pixelrec::train
