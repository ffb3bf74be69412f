// A job on one GPU against the same on the CPU.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/device/gpu_test.h"
#include "tests/worker/train/first_gradient.h"

namespace pixelrec::train {
namespace {

constexpr int64_t kSteps = 20;

class GpuParity : public GpuTrainingTest {
 protected:
  TrainJob OnCpu(const std::string& output) const { return Job(output, dist::BackendChoice::kGloo); }
};

TEST_F(GpuParity, FirstGradientInFp32) {
  for (const bool checkpointing : {false, true}) {
    TrainJob here = Job("gradient-gpu"), there = OnCpu("gradient-cpu");
    here.gradient_checkpointing = there.gradient_checkpointing = checkpointing;
    const at::Tensor want = FirstGradient(there, 1);
    EXPECT_LE(((FirstGradient(here, 1) - want).norm() / want.norm()).item<double>(), 1e-5);
  }
}

TEST_F(GpuParity, TwentyLossesInFp32) {
  const RecordingLink here = Steps(Job("losses-gpu"), 1, kSteps), there = Steps(OnCpu("losses-cpu"), 1, kSteps);
  EXPECT_THAT(here.notices, testing::Contains(testing::HasSubstr("ranks compute on GPUs, over NCCL")));
  EXPECT_LE(LargestDifferenceOfLosses(here, there), 1e-4);
}

TEST_F(GpuParity, WholeJobEvaluatesAlike) {
  std::vector<RecordingLink> here, there;
  for (const absl::Status& status : RunGang(Job("whole-gpu"), 1, here)) ASSERT_TRUE(status.ok()) << status;
  for (const absl::Status& status : RunGang(OnCpu("whole-cpu"), 1, there)) ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(here[0].result->sample_digest, there[0].result->sample_digest);
  EXPECT_NEAR(here[0].epochs[0].validation_loss, there[0].epochs[0].validation_loss, 1e-3);
  for (size_t i = 0; i < there[0].result->test.at.size(); ++i)
    EXPECT_NEAR(here[0].result->test.at[i].recall, there[0].result->test.at[i].recall, 2e-2);
}

TEST_F(GpuParity, TwentyLossesInBf16) {
  ASSERT_TRUE(dist::GpuHasBf16(FirstGpu())) << "this suite needs a GPU of compute capability 8 or more";
  TrainJob job = Job("bf16-gpu");
  job.bf16 = true;
  const RecordingLink here = Steps(job, 1, kSteps), there = Steps(OnCpu("bf16-cpu"), 1, kSteps);
  EXPECT_THAT(here.notices, testing::Contains(testing::HasSubstr("computing in bf16")));
  EXPECT_LE(LargestDifferenceOfLosses(here, there), 3e-2);
}

TEST_F(GpuParity, OptimizerOnTheHost) {
  TrainJob offloaded = Job("offloaded");
  offloaded.offload_optimizer = true;
  EXPECT_LE(LargestDifferenceOfLosses(Steps(offloaded, 1, kSteps), Steps(Job("not-offloaded"), 1, kSteps)), 1e-4);
}

}  // namespace
}  // namespace pixelrec::train
