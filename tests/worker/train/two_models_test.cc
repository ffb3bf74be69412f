// Rule M1: item LLM and user LLM have weights of their own, and one embedding token starts as N(0, 0.02).
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/worker/train/small_job.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/session.h"

namespace pixelrec::train {
namespace {

class TwoModelsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = OpenSession(SmallJob(PrepareSmallData(folder_.path(), 600), folder_.path() / "out"), link_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    session_ = *std::move(opened);
  }

  at::Tensor Items() const {
    model::PackedItems items;
    for (const std::vector<uint32_t>& tokens : {std::vector<uint32_t>{1, 300, 17}, {1, 5}, {1, 200, 201, 202}})
      items.Append(tokens);
    return session_->hllm->EncodeItems(items);
  }
  // Of embeddings that come from nowhere, so that only the user LLM has a part in it.
  at::Tensor Users() const {
    at::manual_seed(3);
    model::Segments segments;
    for (const int64_t length : {4, 2}) segments.Append(length);
    return session_->hllm->EncodeUsers(at::randn({6, 64}), segments, model::Rows::kAll);
  }
  // Largest entry of the side's gradients.
  double Gradient(const std::string& side) const {
    double largest = 0;
    for (const auto& [name, range] : session_->parameters->ranges()) {
      if (name.starts_with(side)) largest = std::max(largest, session_->parameters->gradient(name).abs().max().item<double>());
    }
    return largest;
  }
  at::Tensor Layer(const std::string& side) const {
    return session_->parameters->weight(side + ".layers.2.mlp.down_proj.weight");
  }

  TestFolder folder_{"two-models"};
  RecordingLink link_;
  std::unique_ptr<Session> session_;
};

TEST_F(TwoModelsTest, BothStartFromTheSameDirectoryAndShareNothingRuleM1) {
  const at::NoGradGuard no_graph;
  EXPECT_TRUE(at::equal(Layer("item_llm"), Layer("user_llm")));
  const at::Tensor items = Items(), users = Users();
  Layer("item_llm").mul_(2);
  EXPECT_FALSE(at::equal(Layer("item_llm"), Layer("user_llm")));
  EXPECT_FALSE(at::equal(Items(), items));
  EXPECT_TRUE(at::equal(Users(), users));
  Layer("item_llm").div_(2);  // exactly back
  Layer("user_llm").mul_(2);
  EXPECT_TRUE(at::equal(Items(), items));
  EXPECT_FALSE(at::equal(Users(), users));
}

TEST_F(TwoModelsTest, AGradientStaysOnItsSideRuleM1) {
  session_->parameters->ZeroGradients();
  Items().square().sum().backward();
  EXPECT_GT(Gradient("item_llm."), 0);
  EXPECT_GT(Gradient("item_emb_tokens"), 0);
  EXPECT_EQ(Gradient("user_llm."), 0);
  session_->parameters->ZeroGradients();
  Users().square().sum().backward();
  EXPECT_EQ(Gradient("item_llm."), 0);
  EXPECT_EQ(Gradient("item_emb_tokens"), 0);
  EXPECT_GT(Gradient("user_llm."), 0);
}

TEST_F(TwoModelsTest, TheEmbeddingTokenIsOneRowOfTheNormalDistributionRuleM1) {
  const at::Tensor token = session_->parameters->weight("item_emb_tokens");
  EXPECT_EQ(token.sizes().vec(), (std::vector<int64_t>{1, 1, 64}));
  std::vector<at::Tensor> draws;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    InitializeHead(seed, *session_->parameters);
    draws.push_back(token.clone());
  }
  EXPECT_FALSE(at::equal(draws[0], draws[1]));
  InitializeHead(0, *session_->parameters);
  EXPECT_TRUE(at::equal(token, draws[0]));
  // 6,400 numbers: the mean's standard error is 0.00025, the deviation's 0.00018.
  const at::Tensor all = at::cat(draws);
  EXPECT_NEAR(all.mean().item<double>(), 0, 0.0012);
  EXPECT_NEAR(all.std().item<double>(), 0.02, 0.001);
  EXPECT_NEAR((all.abs() < 0.02).to(at::kDouble).mean().item<double>(), 0.6827, 0.03);  // the share of a normal within one
}

}  // namespace
}  // namespace pixelrec::train
