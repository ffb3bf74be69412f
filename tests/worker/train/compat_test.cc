// Rules of the reference that `numerics: compat` brings back: P1, P2, N1, N2, N4, N5, O2, V3.
#include <ATen/ATen.h>

#include <cmath>

#include "tests/fidelity_record.h"
#include "tests/worker/train/small_job.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/model/compat_loss.h"
#include "worker/train/hllm_step.h"
#include "worker/train/optimizer.h"
#include "worker/train/session.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

// tests/reference/compat_loss.py wrote what PyTorch computes for the same bf16 tensors.
TEST(CompatLoss, EqualsTheReferenceInBf16RulesN1N2N4P1) {
  auto file = checkpoint::SafetensorsFile::Open(fs::path(PIXELREC_SOURCE_DIR) / "tests/golden/compat_loss/bf16.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto read = [&](const std::string& name) { return TensorOf(*(*file)->Find(name)).to(at::kBFloat16); };
  std::vector<at::Tensor> leaves;
  const std::vector<std::string> names = {"user", "target", "negatives", "logit_scale"};
  for (const std::string& name : names) leaves.push_back(read(name).requires_grad_(true));
  const model::CompatNceLoss loss = model::ComputeCompatNceLoss(leaves[0], leaves[1], leaves[2], leaves[3]);
  EXPECT_EQ(loss.mean.scalar_type(), at::kBFloat16);
  EXPECT_EQ(loss.mean.item<float>(), read("loss").item<float>());
  EXPECT_TRUE(at::equal(loss.logits, read("logits")));
  EXPECT_TRUE(std::isinf(loss.logits[1][4].item<float>()));  // the planted copy of the target: the dtype's lowest times the scale
  loss.mean.backward();
  for (size_t i = 0; i < leaves.size(); ++i) {
    const at::Tensor expected = read("grad." + names[i]);
    const double scale = expected.abs().max().item<double>();
    ExpectWithin("P1", "bf16 loss against PyTorch: gradient of " + names[i],
                 (leaves[i].grad() - expected).abs().max().item<double>() / scale, 0.01);
  }
}

class CompatTest : public testing::Test {
 protected:
  TestFolder folder_{"compat"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 700);

  TrainJob Job(const std::string& output) const {
    TrainJob job = SmallJob(dataset_, folder_.path() / output);
    job.gradient_checkpointing = true;
    return job;
  }
  std::unique_ptr<Session> Open(const TrainJob& job) {
    auto session = OpenSession(job, link_);
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }
  RecordingLink link_;
};

TEST_F(CompatTest, MastersAreTheRoundedWeightsRulesN1P2) {
  TrainJob job = Job("a");
  job.compat.bf16_rounding = true;
  const auto session = Open(job);
  EXPECT_EQ(session->hllm->weights().logit_scale.item<float>(), 2.65625F);  // ln(1/0.07) in bf16
  EXPECT_EQ(session->parameters->weight("logit_scale").item<float>(), 2.65625F);
  const at::Tensor masters = session->parameters->weights();
  EXPECT_EQ(masters.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(masters, masters.to(at::kBFloat16).to(at::kFloat)));
}

TEST_F(CompatTest, OnlyTheRoundedScaleIsClampedRuleN1) {
  TrainJob job = Job("a");
  job.compat.bf16_rounding = true;
  const auto session = Open(job);
  session->parameters->weight("logit_scale").fill_(6);
  FollowMasters(*session->exchange, *session->parameters, job.compat);
  EXPECT_EQ(session->parameters->weight("logit_scale").item<float>(), 6);
  EXPECT_EQ(session->hllm->weights().logit_scale.item<float>(), 4.59375F);  // the cap in bf16
}

TEST_F(CompatTest, WithoutCompatTheScaleItselfIsClampedRuleW14) {
  const auto session = Open(Job("a"));
  for (const auto& [before, after] : {std::pair(6.0, model::kMaxLogitScale), std::pair(-1.0, 0.0), std::pair(3.0, 3.0)}) {
    session->parameters->weight("logit_scale").fill_(before);
    FollowMasters(*session->exchange, *session->parameters, {});
    EXPECT_EQ(session->parameters->weight("logit_scale").item<float>(), static_cast<float>(after));
    EXPECT_EQ(session->hllm->weights().logit_scale.item<float>(), static_cast<float>(after));
  }
}

// Two ranks with unequal shares of valid rows: each rank's mean weighs a half (N5), not its rows.
TEST_F(CompatTest, RanksWeighEquallyRuleN5) {
  TrainJob job = Job("a");
  const auto session = Open(job);
  const data::RankBatch batch = data::MakeBatch(*session->dataset, session->batches, 1, 0, 0);
  ASSERT_NE(batch.valid_rows, 0);
  data::RankBatch of_many = batch;
  of_many.global_valid_rows = 3 * batch.valid_rows;  // as if other ranks held twice as many
  const auto loss = [&](const data::RankBatch& b, const CompatTraining& compat) {
    return ForwardMicroStep(*session->dataset, *session->hllm, session->group, b, compat).loss.item<double>();
  };
  EXPECT_NEAR(loss(of_many, {}), loss(batch, {}) / 3, 1e-5);
  EXPECT_NEAR(loss(of_many, {.mean_per_rank = true}), loss(batch, {}), 1e-5);
}

TEST_F(CompatTest, TrainsInBf16OnTwoRanks) {
  TrainJob job = Job("bf16");
  job.learning_rate = 1e-3;
  job.compat = CompatTraining::All();
  std::vector<RecordingLink> links, exact;
  for (const absl::Status& s : RunGang(job, 2, links)) ASSERT_TRUE(s.ok()) << s;
  job.output_dir = folder_.path() / "fp32";
  job.compat = {};
  for (const absl::Status& s : RunGang(job, 2, exact)) ASSERT_TRUE(s.ok()) << s;
  ASSERT_TRUE(links[0].result.has_value());
  EXPECT_LT(links[0].steps.back().loss, links[0].steps.front().loss);
  // Rounded, but the same mathematics: about three decimal digits.
  EXPECT_NEAR(links[0].steps.front().loss, exact[0].steps.front().loss, 0.02 * exact[0].steps.front().loss);
  EXPECT_NE(links[0].steps.front().loss, exact[0].steps.front().loss);
}

TEST_F(CompatTest, GradientsAreNotClippedRuleO2) {
  TrainJob job = Job("free");
  job.max_grad_norm = 1e-6;
  job.learning_rate = 1e-2;
  job.weight_decay = 0;
  RecordingLink clipped, free;
  ASSERT_TRUE(RunTraining(job, clipped).ok());
  job.output_dir = folder_.path() / "clipped";
  job.compat.no_clipping = true;
  ASSERT_TRUE(RunTraining(job, free).ok());
  // Tiny gradients vanish behind AdamW's epsilon: with clipping the run hardly moves.
  EXPECT_LT(free.steps.back().loss, clipped.steps.back().loss - 0.05);
}

// Scores of few distinct values: ties where fp32 has none (rule V6).
TEST_F(CompatTest, ScoresInBf16TieRuleV3) {
  TrainJob job = Job("scores");
  RecordingLink exact, rounded;
  ASSERT_TRUE(RunTraining(job, exact).ok());
  job.output_dir = folder_.path() / "rounded";
  job.compat.bf16_scores = true;
  ASSERT_TRUE(RunTraining(job, rounded).ok());
  EXPECT_EQ(exact.epochs[0].validation_loss, rounded.epochs[0].validation_loss);
  EXPECT_GT(rounded.result->test.tied_targets, exact.result->test.tied_targets + 5);
}

}  // namespace
}  // namespace pixelrec::train
