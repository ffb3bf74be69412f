// The GPUs of this machine. Without one every test of the suite fails; none is skipped.
#pragma once

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/worker/train/small_job.h"
#include "worker/dist/device.h"

namespace pixelrec {

inline at::Device FirstGpu() { return {at::kCUDA, 0}; }

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    for (dist::LocalGpu gpu; (gpu = dist::FindGpu(gpus_)).problem.empty(); ++gpus_) {
    }
    ASSERT_GT(gpus_, 0) << "this suite needs a GPU: " << dist::FindGpu(0).problem;
    ASSERT_FALSE(at::globalContext().allowTF32CuBLAS()) << "products of fp32 would round to TF32";
  }

  int gpus_ = 0;  // visible ones
};

// With a small job on them.
class GpuTrainingTest : public GpuTest {
 protected:
  train::TestFolder folder_{"gpu"};
  train::fs::path dataset_ = train::PrepareSmallData(folder_.path(), 3000);

  train::TrainJob Job(const std::string& output, dist::BackendChoice backend = dist::BackendChoice::kNccl) const {
    train::TrainJob job = train::SmallJob(dataset_, folder_.path() / output);
    job.backend = backend;
    return job;
  }

  // The first `steps` steps of rank 0.
  train::RecordingLink Steps(const train::TrainJob& job, int world_size, int64_t steps) const {
    std::vector<train::RecordingLink> links;
    for (const absl::Status& status : train::RunGang(job, world_size, links, steps))
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
    return links[0];
  }
};

inline double LargestDifferenceOfLosses(const train::RecordingLink& got, const train::RecordingLink& want) {
  EXPECT_EQ(got.steps.size(), want.steps.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(got.steps.size(), want.steps.size()); ++i)
    largest = std::max(largest, std::abs(got.steps[i].loss / want.steps[i].loss - 1));
  return largest;
}

}  // namespace pixelrec
