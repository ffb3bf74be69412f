// Collectives over Gloo, ranks as threads of this process: sums, uneven gathers, and the gradient of a gather (rule N3).
#include "worker/dist/process_group.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "tests/worker/dist/on_ranks.h"
#include "worker/dist/flat_parameters.h"

namespace pixelrec::dist {
namespace {

TEST(ProcessGroup, SumsOverRanks) {
  OnRanks(3, [](const ProcessGroup& group) {
    at::Tensor t = at::full({5}, group.rank() + 1.0);
    group.AllReduceSum(t);
    EXPECT_TRUE(at::equal(t, at::full({5}, 6.0)));
  });
}

TEST(ProcessGroup, GathersUnevenRowsInRankOrder) {
  OnRanks(3, [](const ProcessGroup& group) {
    const std::vector<int64_t> rows = {2, 0, 1};
    const at::Tensor mine = at::full({rows[static_cast<size_t>(group.rank())], 2}, static_cast<double>(group.rank()));
    EXPECT_TRUE(at::equal(group.AllGatherRows(mine, rows),
                          at::tensor({0.0, 0.0, 0.0, 0.0, 2.0, 2.0}).view({3, 2}).to(mine.scalar_type())));
  });
}

// d(sum over ranks of <weight_r, gathered>) / d(mine) = sum of all weights at my rows.
TEST(ProcessGroup, GatherHasTheExactGradientRuleN3) {
  OnRanks(2, [](const ProcessGroup& group) {
    const std::vector<int64_t> rows = {1, 2};
    const at::Tensor mine = at::zeros({rows[static_cast<size_t>(group.rank())], 2}).requires_grad_(true);
    const at::Tensor gathered = GatherRowsWithGradient(group, mine, rows);
    (gathered * at::arange(6, at::kFloat).view({3, 2}) * (group.rank() + 1.0)).sum().backward();
    const at::Tensor expected =
        at::arange(6, at::kFloat).view({3, 2}).mul(3.0).narrow(0, group.rank(), rows[static_cast<size_t>(group.rank())]);
    EXPECT_TRUE(at::equal(mine.grad(), expected)) << mine.grad();
  });
}

TEST(ProcessGroup, BroadcastsRankZerosText) {
  OnRanks(3, [](const ProcessGroup& group) {
    EXPECT_EQ(group.Broadcast(group.rank() == 0 ? "\xc3\xa9t\xc3\xa9/checkpoint-epoch-1" : "mine"),
              "\xc3\xa9t\xc3\xa9/checkpoint-epoch-1");
    EXPECT_EQ(group.Broadcast(group.rank() == 0 ? "" : "mine"), "");
  });
}

TEST(ProcessGroup, OneRankNeedsNobody) {
  const ProcessGroup alone = ProcessGroup::Alone();
  at::Tensor t = at::ones({2});
  alone.AllReduceSum(t);
  EXPECT_TRUE(at::equal(t, at::ones({2})));
  alone.Barrier();
}

TEST(ProcessGroup, UnreachableStoreIsAnErrorThatNamesIt) {
  const auto meeting = Rendezvous::Connect("127.0.0.1", 1, std::chrono::milliseconds(300));
  ASSERT_FALSE(meeting.ok());
  EXPECT_NE(std::string(meeting.status().message()).find("127.0.0.1:1"), std::string::npos) << meeting.status();
}

TEST(FlatParameters, LeavesAreViewsAndGradientsLandInTheFlatBuffer) {
  FlatParameters flat({{"unit", {{"fused", {{"q", {2, 3}}, {"k", {1, 3}}}}, {"scalar", {{"scalar", {}}}}}}},
                      at::TensorOptions(at::kFloat));
  EXPECT_EQ(flat.parameter_count(), 10);
  flat.weight("k").fill_(2);
  EXPECT_EQ(flat.leaf("fused").sizes(), at::IntArrayRef({3, 3}));
  EXPECT_EQ(flat.leaf("fused")[2][0].item<float>(), 2);
  for (int i = 0; i < 2; ++i) (flat.leaf("fused").sum() + 3.0 * flat.leaf("scalar")).backward();  // accumulates in place
  EXPECT_TRUE(at::equal(flat.gradient("q"), at::full({2, 3}, 2.0F)));
  EXPECT_EQ(flat.gradient("scalar").item<float>(), 6);
  flat.ZeroGradients();
  EXPECT_EQ(flat.leaf("fused").grad().abs().max().item<float>(), 0);
}

// In bf16 the sum of 256 and 1 is 256.
TEST(FlatParameters, GradientsOfRoundedLeavesAddUpInFp32RuleW4) {
  const std::vector<Unit> units = {{.name = "layer", .leaves = {{"w", {{"w", {4}}}}}},
                                   {.name = "head", .leaves = {{"s", {{"s", {}}}}}, .keeps_masters = true}};
  for (const auto& [rounding, sum] : {std::pair(Rounding::kWeights, 257.0F), std::pair(Rounding::kAll, 256.0F)}) {
    FlatParameters flat(units, at::TensorOptions(at::kFloat), rounding);
    flat.weights().fill_(1.00390625F / 2);  // halfway between two bf16 values
    flat.RoundWeights();
    EXPECT_EQ(flat.leaf("w").scalar_type(), at::kBFloat16);
    EXPECT_EQ(flat.leaf("w")[0].item<float>(), 0.5F);
    EXPECT_EQ(flat.weight("w")[0].item<float>(), 1.00390625F / 2) << "masters aren't rounded";
    EXPECT_EQ(flat.leaf("s").scalar_type(), rounding == Rounding::kWeights ? at::kFloat : at::kBFloat16);
    for (const double factor : {256.0, 1.0}) (flat.leaf("w").sum() * factor + flat.leaf("s") * factor).backward();
    flat.CollectGradients();
    EXPECT_EQ(flat.gradient("w")[0].item<float>(), sum);
    EXPECT_EQ(flat.gradient("s").item<float>(), sum);
  }
}

}  // namespace
}  // namespace pixelrec::dist
