// Where ranks compute: decided from what every rank has, with the reason in words.
#include "worker/dist/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace pixelrec::dist {
namespace {

using testing::HasSubstr;

LocalGpu Gpu(const std::string& id) { return {.id = id, .name = "NVIDIA H100", .problem = ""}; }
LocalGpu NoGpu(const std::string& problem) { return {.id = "", .name = "", .problem = problem}; }

std::string Choice(BackendChoice asked, const std::vector<LocalGpu>& by_rank) {
  const absl::StatusOr<Placement> placement = Place(asked, by_rank);
  return placement.ok() ? Describe(*placement, asked) : std::string(placement.status().message());
}

TEST(Place, AutoTakesGpusWhereEveryRankHasOneOfItsOwn) {
  EXPECT_EQ(Choice(BackendChoice::kAuto, {Gpu("a"), Gpu("b")}),
            "backend: auto: ranks compute on GPUs, over NCCL: every rank has a GPU, rank 0 a NVIDIA H100");
  EXPECT_EQ(Choice(BackendChoice::kAuto, {Gpu("a"), NoGpu("there is no GPU, or no driver for it")}),
            "backend: auto: ranks compute on CPUs, over Gloo: rank 1: there is no GPU, or no driver for it");
  EXPECT_EQ(Choice(BackendChoice::kAuto, {NoGpu("this build has no CUDA")}),
            "backend: auto: ranks compute on CPUs, over Gloo: this build has no CUDA");
}

TEST(Place, TwoRanksCannotShareAGpu) {
  const std::string why =
      "ranks 0 and 2 have the same GPU (NVIDIA H100, a), and NCCL takes one rank a GPU: give each worker a device of its own";
  EXPECT_EQ(Choice(BackendChoice::kNccl, {Gpu("a"), Gpu("b"), Gpu("a")}),
            "spec.distributed.backend: nccl needs a GPU for every rank. " + why);
  EXPECT_EQ(Choice(BackendChoice::kAuto, {Gpu("a"), Gpu("b"), Gpu("a")}),
            "backend: auto: ranks compute on CPUs, over Gloo: " + why);
}

TEST(Place, NcclIsRefusedWithoutAGpu) {
  const auto placement = Place(BackendChoice::kNccl, {Gpu("a"), NoGpu("this build has no CUDA")});
  EXPECT_EQ(placement.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(placement.status().message(),
            "spec.distributed.backend: nccl needs a GPU for every rank. rank 1: this build has no CUDA");
}

TEST(Place, GlooStaysOnCpusWhateverThereIs) {
  EXPECT_EQ(Choice(BackendChoice::kGloo, {Gpu("a")}), "backend: gloo: ranks compute on CPUs, over Gloo: as asked for");
}

TEST(LocalGpu, TravelsAsText) {
  const LocalGpu gpu = LocalGpu::FromText(Gpu("GPU-1").ToText());
  EXPECT_EQ(gpu.id, "GPU-1");
  EXPECT_EQ(gpu.name, "NVIDIA H100");
  EXPECT_EQ(LocalGpu::FromText(NoGpu("libcublas.so.13: not found\nand more").ToText()).problem, "libcublas.so.13: not found");
  EXPECT_EQ(LocalGpu::FromText("").id, "");
}

TEST(FindGpu, AsksNothingOfCudaWhereTheWorkerShowsNoGpu) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_EQ(FindGpu(0).problem, "the worker computes on a CPU (worker.yaml: device)");
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(Device, ACpuHasNoGpuMemoryAndNothingToWaitFor) {
  Synchronize(at::kCPU);
  ResetPeakMemory(at::kCPU);
  EXPECT_EQ(PeakMemoryBytes(at::kCPU), 0);
  EXPECT_EQ(MemoryBytes(at::kCPU), 0);
  EXPECT_FALSE(GpuHasBf16(at::kCPU));
}

}  // namespace
}  // namespace pixelrec::dist
