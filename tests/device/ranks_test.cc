// One rank for every number of GPUs that this machine has, at every ZeRO stage: the same training (hllm.md 4.1, point 12).
#include <ATen/ATen.h>
#include "absl/strings/str_cat.h"

#include "tests/device/gpu_test.h"
#include "tests/worker/train/first_gradient.h"

namespace pixelrec::train {
namespace {

constexpr int64_t kSteps = 12;

class GpuRanks : public GpuTrainingTest {
 protected:
  TrainJob At(const std::string& what, int world_size, int stage) const {
    TrainJob job = Job(absl::StrCat(what, "-w", world_size, "-s", stage));
    job.item_zero_stage = job.user_zero_stage = stage;
    return job;
  }
};

TEST_F(GpuRanks, FirstGradientAtEveryStage) {
  const at::Tensor want = FirstGradient(At("want", 1, 0), 1);
  for (int world_size = 1; world_size <= gpus_; ++world_size) {
    for (const int stage : {0, 1, 2, 3}) {
      SCOPED_TRACE(absl::StrCat("world size ", world_size, ", stage ", stage));
      const at::Tensor got = FirstGradient(At("gradient", world_size, stage), world_size);
      EXPECT_LE(((got - want).norm() / want.norm()).item<double>(), 1e-5);
    }
  }
}

TEST_F(GpuRanks, LossesAtEveryStage) {
  const RecordingLink want = Steps(At("curve", 1, 0), 1, kSteps);
  for (int world_size = 1; world_size <= gpus_; ++world_size) {
    for (const int stage : {0, 1, 2, 3}) {
      SCOPED_TRACE(absl::StrCat("world size ", world_size, ", stage ", stage));
      EXPECT_LE(LargestDifferenceOfLosses(Steps(At("losses", world_size, stage), world_size, kSteps), want), 1e-4);
    }
  }
}

}  // namespace
}  // namespace pixelrec::train
