// What ranks compute on: what is said about it, and what is refused.
#include <gmock/gmock.h>

#include "tests/worker/train/small_job.h"
#include "worker/train/failure.h"

namespace pixelrec::train {
namespace {

using testing::Contains;
using testing::HasSubstr;

class DeviceTest : public testing::Test {
 protected:
  TestFolder folder_{"device"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 600);

  TrainJob Job(const std::string& output) const { return SmallJob(dataset_, folder_.path() / output); }
};

// Of this build, on a machine without a GPU.
std::string WhyNoGpu() { return fs::exists(fs::path(PIXELREC_BIN_DIR) / "libpixelrec_cuda.so") ? "" : "this build has no CUDA"; }

TEST_F(DeviceTest, NcclIsRefusedInABuildWithoutCuda) {
  TrainJob job = Job("nccl");
  job.backend = dist::BackendChoice::kNccl;
  RecordingLink link;
  const TypedFailure failure = Classify(RunTraining(job, link));
  EXPECT_EQ(failure.kind, FailureKind::kBadSpec);
  EXPECT_THAT(failure.message, HasSubstr("spec.distributed.backend: nccl needs a GPU for every rank. " + WhyNoGpu()));
  EXPECT_THAT(failure.hint, HasSubstr("use backend: auto or gloo"));
  EXPECT_FALSE(fs::exists(job.output_dir));
}

TEST_F(DeviceTest, AutoTakesGlooWithoutAGpuAndSaysWhy) {
  TrainJob job = Job("auto");
  job.backend = dist::BackendChoice::kAuto;
  for (const int world_size : {1, 2}) {
    std::vector<RecordingLink> links;
    for (const absl::Status& status : RunGang(job, world_size, links, /*stop_after=*/1))
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
    EXPECT_THAT(links[0].notices, Contains(HasSubstr(std::string("backend: auto: ranks compute on CPUs, over Gloo: ") +
                                                     (world_size == 1 ? "" : "rank 0: ") + WhyNoGpu())));
    job.output_dir = folder_.path() / "auto-two";
  }
}

}  // namespace
}  // namespace pixelrec::train
