// ZeRO stages 0-3: the same training, whatever is sharded over however many ranks (hllm.md 4.1, point 12).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/fidelity_record.h"
#include "tests/worker/train/first_gradient.h"
#include "tests/worker/train/same_checkpoint.h"
#include "tests/worker/train/small_job.h"
#include "worker/train/artifacts.h"

namespace pixelrec::train {
namespace {

// 100 steps of the quickstart job's 32 users take minutes: `PIXELREC_LONG_TESTS=1`.
bool Long() { return std::getenv("PIXELREC_LONG_TESTS") != nullptr; }
int Steps() { return Long() ? 100 : 6; }

class ZeroTest : public testing::Test {
 protected:
  TestFolder folder_{"zero"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 6000);
  fs::path small_dataset_ = SmallDataset();

  fs::path SmallDataset() const {
    fs::create_directories(folder_.path() / "small");
    return PrepareSmallData(folder_.path() / "small", 900);
  }

  TrainJob Job(const std::string& output, int item_stage, int user_stage) const {
    TrainJob job = SmallJob(dataset_, folder_.path() / output);
    job.item_zero_stage = item_stage;
    job.user_zero_stage = user_stage;
    return job;
  }

  std::vector<RecordingLink> Train(const TrainJob& job, int world_size) const {
    std::vector<RecordingLink> links;
    for (const absl::Status& status : RunGang(job, world_size, links)) EXPECT_TRUE(status.ok()) << status;
    return links;
  }
  // The first Steps() steps. With fewer users rounding grows faster: 100 steps of 8 end 2e-4 apart, of 32 1e-5.
  RecordingLink Curve(TrainJob job, int world_size) const {
    if (Long()) {
      job.global_batch_size = job.micro_batch_size = 32;
      job.epochs = 6;  // of 17 steps
    }
    std::vector<RecordingLink> links;
    for (const absl::Status& status : RunGang(job, world_size, links, Steps() - 1))
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
    return links[0];
  }
};

double RelativeDifference(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).norm() / want.norm()).item<double>();
}

double LargestDifference(const RecordingLink& got, const RecordingLink& want) {
  EXPECT_EQ(got.steps.size(), want.steps.size());
  double largest = 0;
  for (size_t i = 0; i < std::min({got.steps.size(), want.steps.size(), static_cast<size_t>(Steps())}); ++i)
    largest = std::max(largest, std::abs(got.steps[i].loss / want.steps[i].loss - 1));
  return largest;
}

TEST_F(ZeroTest, FirstGradientAtEveryStageAndWorldSizeRuleW16) {
  const at::Tensor want = FirstGradient(Job("one", 0, 0), 1);
  double worst = 0;
  for (const int world_size : {2, 3, 4}) {
    at::Tensor sharded;
    for (const auto& [item, user] : {std::pair(0, 0), std::pair(1, 1), std::pair(2, 2), std::pair(3, 3), std::pair(3, 1)}) {
      SCOPED_TRACE(absl::StrCat("world size ", world_size, ", stages ", item, " and ", user));
      const at::Tensor got = FirstGradient(Job(absl::StrCat("w", world_size, "s", item, user), item, user), world_size);
      worst = std::max(worst, RelativeDifference(got, want));
      EXPECT_LE(RelativeDifference(got, want), 1e-6);
      if (item == 0) continue;
      if (!sharded.defined()) sharded = got;
      EXPECT_TRUE(at::equal(got, sharded)) << "stages differ";
    }
  }
  ExpectWithin("W16", "gradient of step 1, stages 0-3 on 2, 3, 4 ranks against 1 rank, norm of the difference", worst, 1e-6);
}

TEST_F(ZeroTest, GradientWithoutCheckpointingIsTheSame) {
  TrainJob job = Job("recomputed", 3, 3);
  job.gradient_checkpointing = true;
  const at::Tensor recomputed = FirstGradient(job, 2);
  job.gradient_checkpointing = false;
  EXPECT_TRUE(at::equal(FirstGradient(job, 2), recomputed));
}

TEST_F(ZeroTest, MicroStepsAddUpInFp32RuleW12) {
  TrainJob job = Job("micro", 0, 0);
  job.micro_batch_size = job.global_batch_size / 2;
  const at::Tensor want = FirstGradient(job, 1);
  for (const int stage : {1, 2, 3}) {
    job.item_zero_stage = job.user_zero_stage = stage;
    EXPECT_LE(RelativeDifference(FirstGradient(job, 2), want), 1e-6) << "stage " << stage;
  }
}

TEST_F(ZeroTest, LossCurvesAtEveryStageAndWorldSizeRuleW3) {
  const RecordingLink want = Curve(Job("curve", 0, 0), 1);
  double worst = 0;
  for (const int world_size : {2, 3, 4}) {
    std::vector<StepRecord> sharded;
    for (const int stage : {0, 1, 2, 3}) {
      SCOPED_TRACE(absl::StrCat("world size ", world_size, ", stage ", stage));
      const RecordingLink link = Curve(Job(absl::StrCat("curve-w", world_size, "s", stage), stage, stage), world_size);
      ASSERT_EQ(link.steps.size(), static_cast<size_t>(Steps()));
      worst = std::max(worst, LargestDifference(link, want));
      if (stage == 0) continue;
      if (sharded.empty()) sharded = link.steps;
      for (size_t i = 0; i < sharded.size(); ++i) EXPECT_EQ(link.steps[i].loss, sharded[i].loss) << "step " << i;
    }
  }
  ExpectWithin("W3", "losses of stages 0-3 on 2, 3, 4 ranks against 1 rank", worst, 1e-4);
}

// Stopped by a request after a few steps, with a checkpoint; goes on to the end.
TEST_F(ZeroTest, ResumesExactlyAtTheSameWorldSize) {
  for (const int stage : {2, 3}) {
    const std::string name = absl::StrCat("undisturbed-", stage), cut = absl::StrCat("cut-", stage);
    TrainJob job = Job(name, stage, stage);
    job.dataset_dir = small_dataset_;
    Train(job, 2);
    job.output_dir = folder_.path() / cut;
    std::vector<RecordingLink> links;
    for (const absl::Status& status : RunGang(job, 2, links, 3)) EXPECT_TRUE(absl::IsCancelled(status)) << status;
    ASSERT_EQ(links[0].artifacts.size(), 1U);
    job.resume_from = links[0].artifacts[0].path;
    job.generation = 2;
    Train(job, 2);
    ExpectSameWeights(folder_.path() / name / "checkpoint-epoch-1", folder_.path() / cut / "checkpoint-epoch-1");
  }
}

// Written by W ranks at one stage, read by W' at another: every element is found again.
TEST_F(ZeroTest, CheckpointsAreReadAtAnyWorldSizeAndStage) {
  const fs::path source = folder_.path() / "source" / "checkpoint-epoch-1";
  TrainJob source_job = Job("source", 3, 2);
  source_job.dataset_dir = small_dataset_;
  Train(source_job, 3);
  auto written = checkpoint::OpenCheckpoint(source);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->manifest.files.size(), 6U);  // model and optimizer of three shards
  int next = 0;
  for (const auto& [world_size, stage] : {std::pair(1, 0), std::pair(2, 2), std::pair(4, 3), std::pair(2, 0)}) {
    TrainJob job = Job(absl::StrCat("read-", next++), stage, stage);
    job.dataset_dir = small_dataset_;
    job.resume_from = source;
    job.epochs = 1;
    const auto links = Train(job, world_size);  // nothing is left to train: evaluates
    ASSERT_TRUE(links[0].result.has_value());
    std::vector<std::thread> ranks;
    RecordingLink::ForgetStore();
    for (int rank = 0; rank < world_size; ++rank) {
      ranks.emplace_back([&, rank, size = world_size, mine = job]() mutable {
        mine.rank = rank;
        mine.world_size = size;
        mine.output_dir = folder_.path() / absl::StrCat("again-", next);
        RecordingLink link;
        auto session = OpenSession(mine, link);
        ASSERT_TRUE(session.ok()) << session.status();
        for (const auto& [name, tensor] : GatherWeights(**session))
          EXPECT_TRUE(at::equal(tensor, TensorOf(*written->model->Find(name)))) << name;
      });
    }
    for (std::thread& thread : ranks) thread.join();
  }
}

}  // namespace
}  // namespace pixelrec::train
