#include "worker/train/parameter_groups.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/train/optimizer.h"

namespace pixelrec::train {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

dist::Leaf Single(const std::string& name, int64_t size) { return {name, {{name, {size}}}}; }

class ParameterGroupsTest : public testing::Test {
 protected:
  dist::FlatParameters parameters_{{{"item", {Single("item_llm.layers.1.w", 3), Single("item_llm.layers.10.w", 64)}},
                                    {"user", {Single("user_llm.layers.0.w", 5)}},
                                    {"head", {Single("logit_scale", 1)}}},
                                   at::TensorOptions(at::kFloat)};
  int64_t Offset(const std::string& name) const { return parameters_.ranges().at(name).offset; }
};

TEST_F(ParameterGroupsTest, EverythingIsOneRange) {
  const auto groups = GroupParameters(parameters_, {}, {});
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_EQ(groups->size(), 1U);
  EXPECT_EQ(groups->front().lr_factor, 1);
  EXPECT_THAT(groups->front().ranges, UnorderedElementsAre(Pair(0, Offset("logit_scale") + 1)));
}

TEST_F(ParameterGroupsTest, TheLongestPrefixCountsAndEndsAtABorderOfNamesRuleO1) {
  const auto groups = GroupParameters(parameters_, {}, {{"item_llm", 0.5}, {"item_llm.layers.1", 0.1}});
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_EQ(groups->size(), 3U);  // ascending factors
  EXPECT_EQ((*groups)[0].lr_factor, 0.1);
  EXPECT_THAT((*groups)[0].ranges, UnorderedElementsAre(Pair(0, 3)));
  EXPECT_EQ((*groups)[1].lr_factor, 0.5);
  EXPECT_THAT((*groups)[1].ranges,
              UnorderedElementsAre(Pair(Offset("item_llm.layers.10.w"), Offset("item_llm.layers.10.w") + 64)));
}

TEST_F(ParameterGroupsTest, RefusesWhatHasNoEffect) {
  const auto unknown = GroupParameters(parameters_, {}, {{"itemllm", 0.5}});
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("\"itemllm\""));
  const auto frozen = GroupParameters(parameters_, {"item_llm"}, {{"item_llm", 0.5}});
  EXPECT_EQ(frozen.status().code(), absl::StatusCode::kInvalidArgument);
}

// A frozen side keeps its weights to the bit, weight decay included; a factor scales the first update exactly.
TEST_F(ParameterGroupsTest, TheOptimizerTouchesTrainedRangesAloneRuleO1) {
  parameters_.weights().fill_(1);
  parameters_.Freeze("item_llm.");
  EXPECT_FALSE(parameters_.leaf("item_llm.layers.1.w").requires_grad());
  EXPECT_TRUE(parameters_.leaf("user_llm.layers.0.w").requires_grad());
  const auto groups = GroupParameters(parameters_, {"item_llm"}, {{"user_llm", 0.25}});
  ASSERT_TRUE(groups.ok()) << groups.status();
  AdamW optimizer(parameters_, *groups, {.weight_decay = 0});
  parameters_.gradient("user_llm.layers.0.w").fill_(2);
  parameters_.gradient("logit_scale").fill_(2);
  optimizer.Step(0.1);
  EXPECT_TRUE(at::equal(parameters_.weight("item_llm.layers.10.w"), at::ones({64})));
  // AdamW's first step is the learning rate, whatever the gradient.
  EXPECT_NEAR(parameters_.weight("logit_scale").item<double>(), 0.9, 1e-6);
  EXPECT_NEAR(parameters_.weight("user_llm.layers.0.w")[0].item<double>(), 1 - 0.025, 1e-6);
}

}  // namespace
}  // namespace pixelrec::train
