// Training in bf16 with fp32 masters, gradients' sums and loss (rule W4). The tests say that the hardware has bf16 instructions:
// it changes how fast LibTorch multiplies, not what.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <limits>

#include "tests/fidelity_record.h"
#include "tests/worker/train/first_gradient.h"
#include "tests/worker/train/same_checkpoint.h"
#include "tests/worker/train/small_job.h"
#include "worker/train/batch_prefetcher.h"
#include "worker/train/optimizer.h"
#include "worker/train/training_step.h"

namespace pixelrec::train {
namespace {

using testing::Contains;
using testing::HasSubstr;

// Where a CPU has no bf16 instructions a step takes seconds: `PIXELREC_LONG_TESTS=1` for 20 of them.
size_t CurveSteps() { return std::getenv("PIXELREC_LONG_TESTS") != nullptr ? 20 : 5; }

class Bf16Test : public testing::Test {
 protected:
  TestFolder folder_{"bf16"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 350);
  fs::path longer_dataset_ = LongerDataset();

  fs::path LongerDataset() const {
    fs::create_directories(folder_.path() / "longer");
    return PrepareSmallData(folder_.path() / "longer", 2500);
  }
  TrainJob Fp32Job(const std::string& output) const { return SmallJob(dataset_, folder_.path() / output); }
  TrainJob Job(const std::string& output, int stage = 0) const {
    TrainJob job = Fp32Job(output);
    job.bf16 = true;
    job.hardware.bf16_instructions = "avx512_bf16";
    job.item_zero_stage = job.user_zero_stage = stage;
    return job;
  }
  std::vector<RecordingLink> Train(const TrainJob& job, int world_size) const {
    std::vector<RecordingLink> links;
    for (const absl::Status& status : RunGang(job, world_size, links)) EXPECT_TRUE(status.ok()) << status;
    return links;
  }
  static double Distance(const at::Tensor& got, const at::Tensor& want) {
    return ((got - want).norm() / want.norm()).item<double>();
  }
};

TEST_F(Bf16Test, OnlyWhatTheLayersReadIsRoundedRuleW4) {
  RecordingLink link;
  auto session = OpenSession(Job("a"), link);
  ASSERT_TRUE(session.ok()) << session.status();
  const dist::FlatParameters& parameters = *(*session)->parameters;
  EXPECT_FALSE(at::equal(parameters.weights(), parameters.weights().to(at::kBFloat16).to(at::kFloat))) << "rounded masters";
  EXPECT_EQ(parameters.gradients().scalar_type(), at::kFloat);
  EXPECT_EQ(parameters.leaf("user_llm.layers.0.up_proj").scalar_type(), at::kBFloat16);
  EXPECT_EQ(parameters.leaf("user_llm.layers.0.up_proj").grad().scalar_type(), at::kFloat);
  EXPECT_EQ((*session)->hllm->weights().logit_scale.item<float>(), static_cast<float>(model::kInitialLogitScale));
  EXPECT_THAT(link.notices, Contains(HasSubstr("computing in bf16 (avx512_bf16)")));
}

// PyTorch's own operators in bf16 are the yardstick: they round the same weights and layers' outputs, and in between.
TEST_F(Bf16Test, GradientIsAsNearToFp32AsThatOfPyTorchsOperators) {
  const at::Tensor fp32 = FirstGradient(Fp32Job("fp32"), 1);
  TrainJob eager = Fp32Job("eager");
  eager.compat.bf16_rounding = true;
  const double own = Distance(FirstGradient(Job("own"), 1), fp32), pytorch = Distance(FirstGradient(eager, 1), fp32);
  std::cout << "distance of the first gradient from fp32: " << own << ", PyTorch's operators: " << pytorch << "\n";
  ExpectWithin("W4", "gradient of step 1 in bf16, distance from fp32 over that of PyTorch's operators", own / pytorch, 1.5);
}

// The curve of a small model is not that of another type to the last digits: the first steps' gradients differ by a tenth
// (above), and negatives close to the filter's border (rule N4) come and go. PyTorch's operators in bf16 are the yardstick again,
// and the mean over the steps is what training sees.
TEST_F(Bf16Test, LossCurveFollowsFp32) {
  TrainJob own = Job("curve"), fp32 = Fp32Job("reference"), pytorch = Fp32Job("eager");
  pytorch.compat.bf16_rounding = true;
  std::vector<std::vector<double>> curves;
  for (TrainJob* job : {&own, &fp32, &pytorch}) {
    job->dataset_dir = longer_dataset_;
    job->gradient_checkpointing = false;
    std::vector<RecordingLink> links;
    for (const absl::Status& status : RunGang(*job, 1, links, static_cast<int64_t>(CurveSteps()) - 1))
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
    ASSERT_EQ(links[0].steps.size(), CurveSteps());
    curves.emplace_back();
    for (const StepRecord& step : links[0].steps) curves.back().push_back(step.loss);
  }
  const auto distances = [&](const std::vector<double>& curve) {
    double worst = 0, mean = 0;
    for (size_t i = 0; i < curve.size(); ++i) {
      worst = std::max(worst, std::abs(curve[i] / curves[1][i] - 1));
      mean += (curve[i] / curves[1][i] - 1) / static_cast<double>(curve.size());
    }
    return std::pair(worst, std::abs(mean));
  };
  const auto [worst, mean] = distances(curves[0]);
  const auto [pytorch_worst, pytorch_mean] = distances(curves[2]);
  std::cout << "losses of " << CurveSteps() << " steps, largest and mean distance from fp32: " << worst << " and " << mean
            << ", PyTorch's operators: " << pytorch_worst << " and " << pytorch_mean << "\n";
  ExpectWithin("W4", absl::StrCat("mean of the losses of ", CurveSteps(), " steps in bf16 against fp32"), mean, 0.02);
  EXPECT_NE(curves[0][0], curves[1][0]);
}

TEST_F(Bf16Test, StagesGiveEqualBitsAtTheSameWorldSize) {
  for (const int world_size : {2, 3}) {
    const at::Tensor first = FirstGradient(Job(absl::StrCat("w", world_size, "s1"), 1), world_size);
    for (const int stage : {2, 3}) {
      const at::Tensor got = FirstGradient(Job(absl::StrCat("w", world_size, "s", stage), stage), world_size);
      EXPECT_TRUE(at::equal(got, first)) << world_size << " ranks, stage " << stage;
    }
    const at::Tensor whole = FirstGradient(Job(absl::StrCat("w", world_size, "s0"), 0), world_size);
    EXPECT_LE(Distance(whole, first), 1e-6) << "only the order of fp32 sums differs";
  }
}

TEST_F(Bf16Test, ResumesExactly) {
  for (const auto& [stage, world_size] : {std::pair(0, 1), std::pair(3, 2)}) {
    const std::string whole = absl::StrCat("whole-", stage), cut = absl::StrCat("cut-", stage);
    Train(Job(whole, stage), world_size);
    TrainJob job = Job(cut, stage);
    std::vector<RecordingLink> links;
    for (const absl::Status& status : RunGang(job, world_size, links, 3)) EXPECT_TRUE(absl::IsCancelled(status)) << status;
    ASSERT_EQ(links[0].artifacts.size(), 1U);
    job.resume_from = links[0].artifacts[0].path;
    job.generation = 2;
    Train(job, world_size);
    ExpectSameWeights(folder_.path() / whole / "checkpoint-epoch-1", folder_.path() / cut / "checkpoint-epoch-1");
    auto manifest = checkpoint::ReadManifest(folder_.path() / cut / "checkpoint-epoch-1");
    ASSERT_TRUE(manifest.ok()) << manifest.status();
    EXPECT_EQ(manifest->compute_type, "bf16");
  }
}

TEST_F(Bf16Test, GoesOnInAnotherTypeAndSaysSo) {
  TrainJob job = Job("moved");
  RecordingLink first, second;
  first.stop_after = 3;
  EXPECT_TRUE(absl::IsCancelled(RunTraining(job, first)));
  ASSERT_EQ(first.artifacts.size(), 1U);
  job.hardware = {};  // a machine without
  job.resume_from = first.artifacts[0].path;
  job.generation = 2;
  const absl::Status status = RunTraining(job, second);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(second.notices, Contains(HasSubstr("the steps before were computed in bf16, those from here on in fp32")));
}

TEST_F(Bf16Test, RanksWithoutInstructionsMakeAllComputeInFp32) {
  std::vector<std::string> types(2);
  RecordingLink::ForgetStore();
  std::vector<RecordingLink> links(2);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank, job = Job("mixed")]() mutable {
      job.rank = rank;
      job.world_size = 2;
      if (rank == 1) job.hardware = {};
      auto session = OpenSession(job, links[static_cast<size_t>(rank)]);
      ASSERT_TRUE(session.ok()) << session.status();
      types[static_cast<size_t>(rank)] = (*session)->facts.compute_type;
    });
  }
  for (std::thread& thread : ranks) thread.join();
  EXPECT_EQ(types, (std::vector<std::string>{"fp32", "fp32"}));
  EXPECT_THAT(links[0].notices, Contains(HasSubstr("1 of 2 ranks' CPUs have no bf16 instructions")));
}

// An infinity in one rank's copy of a weight: both ranks skip the step, the masters stay, and the next step is sound.
TEST_F(Bf16Test, AnInfinityOnOneRankSkipsTheStepOnAllRuleW5) {
  RecordingLink::ForgetStore();
  std::vector<RecordingLink> links(2);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank, job = Job("inf")]() mutable {
      job.rank = rank;
      job.world_size = 2;
      job.warmup_ratio = 0;
      RecordingLink& link = links[static_cast<size_t>(rank)];
      auto session = OpenSession(job, link);
      ASSERT_TRUE(session.ok()) << session.status();
      Session& s = **session;
      TrainingStep step(s, link);
      BatchPrefetcher batches(*s.dataset, s.batches, 1, 0, 0);
      const at::Tensor before = s.parameters->weights().clone();
      {
        const at::NoGradGuard no_graph;
        if (rank == 1) s.parameters->leaf("item_llm.layers.0.up_proj")[0][0].fill_(std::numeric_limits<float>::infinity());
      }
      auto skipped = step.Run(batches, 1, {});
      ASSERT_TRUE(skipped.ok()) << skipped.status();
      EXPECT_TRUE(skipped->record.nonfinite);
      EXPECT_TRUE(at::equal(s.parameters->weights(), before));
      FollowMasters(*s.exchange, *s.parameters, job.compat);
      auto sound = step.Run(batches, 1, {});
      ASSERT_TRUE(sound.ok()) << sound.status();
      EXPECT_FALSE(sound->record.nonfinite);
      EXPECT_FALSE(at::equal(s.parameters->weights(), before));
    });
  }
  for (std::thread& thread : ranks) thread.join();
  EXPECT_THAT(links[0].warnings, Contains(HasSubstr("step skipped")));
}

}  // namespace
}  // namespace pixelrec::train
