// A run that was stopped and goes on ends with the bits of an undisturbed one, with deterministic algorithms.
#include <ATen/Context.h>
#include "absl/strings/str_cat.h"

#include <cstdlib>

#include "tests/device/gpu_test.h"
#include "tests/worker/train/same_checkpoint.h"

namespace pixelrec::train {
namespace {

// cuBLAS reads it when it is first used.
const int kFixedWorkspace = setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/1);

class GpuResume : public GpuTrainingTest {
 protected:
  void SetUp() override {
    GpuTrainingTest::SetUp();
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  }
  void TearDown() override { at::globalContext().setDeterministicAlgorithms(false, /*warn_only=*/false); }
};

TEST_F(GpuResume, EndsWithTheBitsOfAnUndisturbedRun) {
  ASSERT_EQ(kFixedWorkspace, 0);
  for (const int stage : {0, 3}) {
    const std::string name = absl::StrCat("undisturbed-", stage), cut = absl::StrCat("cut-", stage);
    TrainJob job = Job(name);
    job.item_zero_stage = job.user_zero_stage = stage;
    std::vector<RecordingLink> links;
    for (const absl::Status& status : RunGang(job, gpus_, links)) ASSERT_TRUE(status.ok()) << status;
    job.output_dir = folder_.path() / cut;
    for (const absl::Status& status : RunGang(job, gpus_, links, 3)) ASSERT_TRUE(absl::IsCancelled(status)) << status;
    ASSERT_EQ(links[0].artifacts.size(), 1U);
    job.resume_from = links[0].artifacts[0].path;
    job.generation = 2;
    for (const absl::Status& status : RunGang(job, gpus_, links)) ASSERT_TRUE(status.ok()) << status;
    ExpectSameWeights(folder_.path() / name / "checkpoint-epoch-1", folder_.path() / cut / "checkpoint-epoch-1");
  }
}

}  // namespace
}  // namespace pixelrec::train
