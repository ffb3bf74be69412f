// Masters apart from the weights (distributed.offload_optimizer) train to the same bits as masters that are the weights.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "tests/worker/dist/on_ranks.h"
#include "worker/dist/flat_parameters.h"
#include "worker/dist/unit_exchange.h"

namespace pixelrec::dist {
namespace {

constexpr int kRanks = 2, kSteps = 3;

std::vector<Unit> TwoUnits(int stage) {
  return {{"one", {{"a", {{"a", {8, 40}}}}, {"b", {{"b", {40}}}}}, stage}, {"two", {{"c", {{"c", {40, 8}}}}}, stage}};
}

// A few steps of gradient descent on |(x a + b) c|^2, rank by rank on other rows. -> the whole weights.
at::Tensor Train(int stage, bool masters_on_host, const ProcessGroup& group) {
  FlatParameters parameters(TwoUnits(stage), at::TensorOptions(at::kFloat), Rounding::kNone,
                            {.rank = group.rank(), .world_size = group.world_size(), .masters_on_host = masters_on_host});
  UnitExchange exchange(parameters, group);
  // Ranks are threads here, and must not draw from one generator.
  at::Generator random = at::detail::createCPUGenerator(3);
  for (const auto& [name, range] : parameters.ranges()) parameters.SetWeight(name, at::randn(range.shape, random));
  exchange.PublishWeights();
  for (int step = 0; step < kSteps; ++step) {
    const at::Tensor x = at::randn({kRanks, 5, 8}, random)[group.rank()];
    parameters.ZeroGradients();
    exchange.BeforeForward(0);
    const at::Tensor hidden = x.mm(parameters.leaf("a")) + parameters.leaf("b");
    exchange.AfterForward(0);
    const at::Tensor detached = hidden.detach().requires_grad_(true);
    exchange.BeforeForward(1);
    const at::Tensor loss = detached.mm(parameters.leaf("c")).square().sum();
    exchange.AfterForward(1);
    exchange.BeforeBackward(1);
    loss.backward();
    exchange.AfterBackward(1);
    exchange.BeforeBackward(0);
    hidden.backward(detached.grad());
    exchange.AfterBackward(0);
    exchange.FinishBackward(true);
    at::Tensor(parameters.weights()).sub_(parameters.gradients(), 1e-3);
    exchange.PublishWeights();
  }
  std::vector<at::Tensor> parts;
  exchange.ForEachWhole(parameters.weights(), [&](size_t unit, const at::Tensor& whole) {
    for (const PlacedTensor& leaf : parameters.layout().units()[unit].leaves)
      parts.push_back(whole.narrow(0, leaf.offset, leaf.numel()));
  });
  return at::cat(parts).clone();
}

TEST(MastersOnHost, TrainToTheSameBitsAtEveryStage) {
  OnRanks(kRanks, [](const ProcessGroup& group) {
    for (const int stage : {0, 1, 2, 3})
      EXPECT_TRUE(at::equal(Train(stage, true, group), Train(stage, false, group))) << "stage " << stage;
  });
}

TEST(MastersOnHost, AreNotTheWeights) {
  FlatParameters parameters(TwoUnits(0), at::TensorOptions(at::kFloat), Rounding::kNone, {.masters_on_host = true});
  EXPECT_FALSE(parameters.sums_in_place());
  parameters.SetWeight("b", at::ones({40}));
  EXPECT_EQ(parameters.leaf("b").sum().item<float>(), 0);
  parameters.RoundWeights();
  EXPECT_EQ(parameters.leaf("b").sum().item<float>(), 40);
}

}  // namespace
}  // namespace pixelrec::dist
