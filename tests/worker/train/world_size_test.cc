// The same job at world sizes 1, 2 and 3: same samples and negatives, same gradients, same losses (rules W1-W3, W16).
#include <ATen/ATen.h>

#include <cmath>

#include "tests/fidelity_record.h"
#include "tests/worker/train/first_gradient.h"
#include "tests/worker/train/small_job.h"
#include "worker/data/batch.h"
#include "worker/train/hllm_step.h"
#include "worker/train/session.h"

namespace pixelrec::train {
namespace {

class WorldSizeTest : public testing::Test {
 protected:
  TestFolder folder_{"world-size"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 2000);

  TrainJob Job(const std::string& output) const { return SmallJob(dataset_, folder_.path() / output); }
};

TEST_F(WorldSizeTest, FirstGradientIsTheSameRulesN3W16) {
  const at::Tensor one = FirstGradient(Job("a"), 1);
  for (const int world_size : {2, 3}) {
    const at::Tensor many = FirstGradient(Job("b"), world_size);
    const double difference = ((many - one).to(at::kDouble).norm() / one.to(at::kDouble).norm()).item<double>();
    ExpectWithin("W16", "gradient of step 1, " + std::to_string(world_size) + " ranks against 1, norm of the difference",
                 difference, 1e-6);
  }
}

// Rows of one micro-step see that micro-step's negatives alone, at any world size (rule W12).
TEST_F(WorldSizeTest, AccumulatedGradientIsTheSameRuleW12) {
  TrainJob job = Job("a");
  job.micro_batch_size = 4;
  const at::Tensor one = FirstGradient(job, 1), two = FirstGradient(job, 2);
  ExpectWithin("W12", "gradient of step 1 in micro-steps, 2 ranks against 1",
               ((two - one).to(at::kDouble).norm() / one.to(at::kDouble).norm()).item<double>(), 1e-6);
}

// Users lie on the ranks in batches that know nothing of ranks: every rank of a target is the same, to the last tie.
TEST_F(WorldSizeTest, EvaluationIsTheSameRulesV5W9) {
  std::vector<std::vector<EpochRecord>> epochs;
  for (const int world_size : {1, 2, 3}) {
    TrainJob job = Job("evaluate-" + std::to_string(world_size));
    job.evaluate_only = true;
    std::vector<RecordingLink> links;
    for (const absl::Status& s : RunGang(job, world_size, links)) ASSERT_TRUE(s.ok()) << s;
    ASSERT_TRUE(links[0].result.has_value());
    EpochRecord record{.validation = links[0].result->test};
    record.validation_loss = *links[0].result->validation_loss;
    epochs.push_back({record});
  }
  for (const auto& other : {epochs[1][0], epochs[2][0]}) {
    EXPECT_EQ(other.validation.tied_targets, epochs[0][0].validation.tied_targets);
    EXPECT_NEAR(other.validation_loss, epochs[0][0].validation_loss, 1e-12);
    for (size_t i = 0; i < other.validation.at.size(); ++i) {
      EXPECT_EQ(other.validation.at[i].recall, epochs[0][0].validation.at[i].recall);
      EXPECT_EQ(other.validation.at[i].ndcg, epochs[0][0].validation.at[i].ndcg);
    }
  }
}

// A global batch smaller than the gang: some rank has no row, and nothing hangs or turns NaN.
TEST_F(WorldSizeTest, RankWithoutRowsRuleW3) {
  TrainJob job = Job("a");
  job.global_batch_size = job.micro_batch_size = 2;
  const at::Tensor one = FirstGradient(job, 1), three = FirstGradient(job, 3);
  EXPECT_LE(((three - one).to(at::kDouble).norm() / one.to(at::kDouble).norm()).item<double>(), 1e-6);
}

TEST_F(WorldSizeTest, LossCurvesAreTheSameRulesW1W3) {
  std::vector<RecordingLink> one, two;
  TrainJob job = Job("one");
  for (const absl::Status& s : RunGang(job, 1, one)) ASSERT_TRUE(s.ok()) << s;
  job.output_dir = folder_.path() / "two";
  for (const absl::Status& s : RunGang(job, 2, two)) ASSERT_TRUE(s.ok()) << s;
  constexpr size_t kSteps = 20;
  ASSERT_GE(one[0].steps.size(), kSteps);
  double worst = 0;
  for (size_t i = 0; i < kSteps; ++i) worst = std::max(worst, std::abs(two[0].steps[i].loss / one[0].steps[i].loss - 1));
  ExpectWithin("W3", "losses of 20 steps, 2 ranks against 1", worst, 1e-4);
  EXPECT_EQ(one[0].result->sample_digest, two[0].result->sample_digest);
  EXPECT_EQ(one[0].result->samples, two[0].result->samples);
  EXPECT_NEAR(one[0].steps[0].nce_samples, two[0].steps[0].nce_samples, 1e-9);
  EXPECT_NEAR(one[0].steps[0].nce_top[2].accuracy, two[0].steps[0].nce_top[2].accuracy, 1e-9);
  EXPECT_NEAR(one[0].epochs[0].validation_loss, two[0].epochs[0].validation_loss, 1e-4 * one[0].epochs[0].validation_loss);
}

}  // namespace
}  // namespace pixelrec::train
