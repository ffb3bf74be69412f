// Which GPU a worker shows its trainers.
#include "worker/agent/visible_gpu.h"

#include <gtest/gtest.h>

namespace pixelrec::agent {
namespace {

std::string Visible(absl::string_view device, const std::optional<std::string>& inherited) {
  const absl::StatusOr<std::string> visible = VisibleGpu(device, inherited);
  EXPECT_TRUE(visible.ok()) << visible.status();
  return visible.value_or("error");
}

TEST(VisibleGpu, IsNoneForAWorkerOnACpu) {
  EXPECT_EQ(Visible("cpu", std::nullopt), "");
  EXPECT_EQ(Visible("cpu", "0,1"), "");
}

TEST(VisibleGpu, IsTheNthOfThoseThatTheWorkerSees) {
  EXPECT_EQ(Visible("cuda:3", std::nullopt), "3");
  EXPECT_EQ(Visible("cuda:1", "4,5"), "5");
  EXPECT_EQ(Visible("cuda:0", "GPU-8932f937,GPU-d1b7"), "GPU-8932f937");
}

TEST(VisibleGpu, RefusesOneThatTheWorkerDoesNotSee) {
  EXPECT_EQ(VisibleGpu("cuda:2", "4,5").status().message(),
            "device cuda:2: CUDA_VISIBLE_DEVICES=4,5 shows this worker 2 GPUs, the first is cuda:0");
  EXPECT_EQ(VisibleGpu("gpu", std::nullopt).status().message(), "device gpu: must be cpu or cuda:N");
  EXPECT_EQ(VisibleGpu("cuda:x", std::nullopt).status().message(), "device cuda:x: must be cpu or cuda:N");
  EXPECT_EQ(VisibleGpu("cuda:0", "").status().message(),
            "device cuda:0: CUDA_VISIBLE_DEVICES= shows this worker 0 GPUs, the first is cuda:0");
}

}  // namespace
}  // namespace pixelrec::agent
