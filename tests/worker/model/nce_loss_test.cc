// The NCE loss by hand: the filter of rule N4, the scale of N1, gradients of N7.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/worker/model/random_decoder.h"
#include "worker/model/hllm.h"

namespace pixelrec::model {
namespace {

TEST(NceLoss, EqualsTheFormula) {
  const at::Tensor user = at::tensor({3.0F, 4.0F}, at::kFloat).view({1, 2}),
                   target = at::tensor({2.0F, 0.0F}, at::kFloat).view({1, 2});
  const at::Tensor negatives = at::tensor({0.0F, 5.0F, -1.0F, 0.0F}, at::kFloat).view({2, 2});
  const NceLoss loss = ComputeNceLoss(user, target, negatives, at::scalar_tensor(std::log(2.0), at::kFloat));
  // Cosines: 0.6 with the target, 0.8 and -0.6 with the negatives; times 2.
  const double expected = std::log(std::exp(1.2) + std::exp(1.6) + std::exp(-1.2)) - 1.2;
  EXPECT_NEAR(loss.sum.item<double>(), expected, 1e-6);
  EXPECT_NEAR(loss.logits[0][1].item<double>(), 1.6, 1e-6);
}

TEST(NceLoss, FilterHidesCopiesOfTheTargetRuleN4) {
  at::manual_seed(1);
  const at::Tensor user = at::randn({2, 8}), target = at::randn({2, 8});
  const at::Tensor negatives = at::cat({target.narrow(0, 1, 1) * 3.0, at::randn({3, 8})});
  const NceLoss with_copy = ComputeNceLoss(user, target, negatives, at::scalar_tensor(kInitialLogitScale, at::kFloat));
  EXPECT_LT(with_copy.logits[1][1].item<float>(), -1e30F);   // a multiple of row 1's target
  EXPECT_GT(with_copy.logits[0][1].item<float>(), -100.0F);  // the filter compares with the row's own target only
  const NceLoss without = ComputeNceLoss(user.narrow(0, 1, 1), target.narrow(0, 1, 1), negatives.narrow(0, 1, 3),
                                         at::scalar_tensor(kInitialLogitScale, at::kFloat));
  const NceLoss row =
      ComputeNceLoss(user.narrow(0, 1, 1), target.narrow(0, 1, 1), negatives, at::scalar_tensor(kInitialLogitScale, at::kFloat));
  EXPECT_NEAR(row.sum.item<double>(), without.sum.item<double>(), 1e-6);
}

TEST(NceLoss, GradientReachesEverythingRuleN7) {
  at::manual_seed(2);
  const std::vector<at::Tensor> inputs = {RandomWeight({4, 8}, 1, at::kFloat), RandomWeight({4, 8}, 1, at::kFloat),
                                          RandomWeight({6, 8}, 1, at::kFloat),
                                          at::scalar_tensor(kInitialLogitScale, at::kFloat).requires_grad_(true)};
  const OutputAndGradients got = Differentiate([](const auto& t) { return ComputeNceLoss(t[0], t[1], t[2], t[3]).sum; }, inputs);
  for (const at::Tensor& g : got.gradients) EXPECT_GT(g.abs().max().item<double>(), 1e-4);
}

// Embeddings in bf16 give an fp32 loss: that of their values, computed in fp32.
TEST(NceLoss, IsFp32WhateverTheEmbeddingsRuleW4) {
  at::manual_seed(4);
  const at::Tensor user = at::randn({4, 16}).to(at::kBFloat16), target = at::randn({4, 16}).to(at::kBFloat16),
                   negatives = at::randn({9, 16}).to(at::kBFloat16), scale = at::scalar_tensor(kInitialLogitScale, at::kFloat);
  const NceLoss rounded = ComputeNceLoss(user, target, negatives, scale);
  EXPECT_EQ(rounded.logits.scalar_type(), at::kFloat);
  const NceLoss widened =
      ComputeNceLoss(user.to(at::kFloat), target.to(at::kFloat), negatives.to(at::kFloat), at::scalar_tensor(kInitialLogitScale));
  EXPECT_EQ(rounded.sum.item<float>(), widened.sum.item<float>());
}

TEST(NceLoss, StatisticsOfRuleN6) {
  // Rows: positive first, then two behind it, one of them filtered; positive behind two of three; a tie doesn't push it back.
  constexpr float kFiltered = std::numeric_limits<float>::lowest();
  const at::Tensor logits =
      at::tensor({3.0F, 2.0F, 1.0F, kFiltered, 1.0F, 2.0F, 3.0F, 0.0F, 2.0F, 2.0F, 1.0F, 0.0F}).view({3, 4});
  const at::Tensor sums = NceStatistics(logits);
  ASSERT_EQ(sums.numel(), kNceStatistics);
  EXPECT_EQ(sums[0].item<double>(), 3);   // rows
  EXPECT_EQ(sums[1].item<double>(), 11);  // of twelve logits one is filtered
  EXPECT_EQ(sums[2].item<double>(), 2);   // top 1
  EXPECT_EQ(sums[3].item<double>(), 3);   // top 5: more than there are columns
  EXPECT_EQ(NceStatistics(at::zeros({0, 4})).sum().item<double>(), 0);
}

TEST(NceLoss, NoRowsGiveZero) {
  const NceLoss loss =
      ComputeNceLoss(at::zeros({0, 8}), at::zeros({0, 8}), at::randn({6, 8}), at::scalar_tensor(1.0, at::kFloat));
  EXPECT_EQ(loss.sum.item<double>(), 0);
}

}  // namespace
}  // namespace pixelrec::model
