#include "worker/checkpoint/hllm_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/checkpoint/raw_safetensors.h"
#include "worker/checkpoint/deepspeed_checkpoint.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// tests/reference/deepspeed_fixtures.py: DeepSpeed itself trained, saved and consolidated.
const std::filesystem::path kFixtures = PIXELREC_SOURCE_DIR "/tests/worker/checkpoint/fixtures";

void ExpectSame(const HllmWeights& weights, const std::filesystem::path& expected_path) {
  const auto expected = *SafetensorsFile::Open(expected_path);
  EXPECT_EQ(weights.tensors.size(), expected->tensors().size());
  for (const auto& [name, tensor] : expected->tensors()) {
    const auto found = weights.tensors.find(CanonicalName(name));
    ASSERT_NE(found, weights.tensors.end()) << name;
    EXPECT_EQ(found->second.dtype, tensor.dtype) << name;
    EXPECT_EQ(found->second.shape, tensor.shape) << name;
    EXPECT_EQ(absl::MakeConstSpan(found->second.data, found->second.bytes), absl::MakeConstSpan(tensor.data, tensor.bytes))
        << name;
  }
}

TEST(HllmWeightsTest, ReadsDeepSpeedStage2RuleF2) {
  const auto weights = OpenHllmWeights(kFixtures / "zero2");
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(weights->source, HllmSource::kDeepSpeed);
  EXPECT_EQ(weights->description, "DeepSpeed ZeRO stage 2 checkpoint of 2 ranks");
  EXPECT_EQ(weights->step, 1);
  ExpectSame(*weights, kFixtures / "zero2.safetensors");
  // Tied: one tensor under two names.
  EXPECT_EQ(weights->tensors.at("user_llm.lm_head.weight").data, weights->tensors.at("user_llm.embed_tokens.weight").data);
}

TEST(HllmWeightsTest, ReadsDeepSpeedStage3WithFrozenParametersRuleF2) {
  const auto weights = OpenHllmWeights(kFixtures / "zero3/checkpoint");
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(weights->description, "DeepSpeed ZeRO stage 3 checkpoint of 3 ranks");
  ExpectSame(*weights, kFixtures / "zero3.safetensors");
  EXPECT_EQ(weights->tensors.at("user_llm.norm.weight").dtype, "F32");
  EXPECT_EQ(weights->tensors.at("item_llm.norm.weight").dtype, "BF16");
}

TEST(HllmWeightsTest, ReadsReleasedWeightsRuleF1) {
  for (const auto& path : {kFixtures / "released", kFixtures / "released/pytorch_model.bin"}) {
    const auto weights = OpenHllmWeights(path);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ(weights->source, HllmSource::kReference);
    EXPECT_EQ(weights->description, "reference weights (torch)");
    ExpectSame(*weights, kFixtures / "zero2.safetensors");
    EXPECT_THAT(weights->ignored, ElementsAre());
  }
  const auto weights = OpenHllmWeights(kFixtures / "zero2.safetensors");
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(weights->description, "reference weights (safetensors)");
}

TEST(HllmWeightsTest, TranslatesNames) {
  for (const auto& [reference, canonical] :
       {std::pair("item_llm.model.layers.0.mlp.up_proj.weight", "item_llm.layers.0.mlp.up_proj.weight"),
        std::pair("user_llm.model.norm.weight", "user_llm.norm.weight"),
        std::pair("item_llm.model.embed_tokens.weight", "item_llm.embed_tokens.weight"),
        std::pair("item_llm.lm_head.weight", "item_llm.lm_head.weight"), std::pair("item_emb_tokens", "item_emb_tokens"),
        std::pair("logit_scale", "logit_scale")}) {
    EXPECT_EQ(CanonicalName(reference), canonical);
    EXPECT_EQ(CanonicalName(canonical), canonical);
    EXPECT_EQ(CanonicalName(absl::StrCat("_forward_module.module.", reference)), canonical);
    EXPECT_EQ(ReferenceName(canonical), reference);
  }
}

class BrokenDeepSpeedTest : public ::testing::Test {
 protected:
  void Copy(const std::string& fixture) {
    std::filesystem::remove_all(dir());
    std::filesystem::copy(kFixtures / fixture, dir(), std::filesystem::copy_options::recursive);
  }
  std::string Refusal() { return std::string(OpenHllmWeights(dir()).status().message()); }
  std::filesystem::path dir() const { return folder_.path() / "checkpoint"; }
  std::filesystem::path tag() const { return dir() / "checkpoint"; }

 private:
  TemporaryFolder folder_;
};

TEST_F(BrokenDeepSpeedTest, NamesAMissingRank) {
  Copy("zero2");
  std::filesystem::remove(tag() / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt");
  EXPECT_THAT(Refusal(), HasSubstr("the file of rank 0 (*_optim_states.pt) is missing"));
  Copy("zero2");
  std::filesystem::remove(tag() / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt");
  EXPECT_THAT(Refusal(), HasSubstr("the weights lie in 2 parts, and there are 1 files *_optim_states.pt"));
  Copy("zero3");
  std::filesystem::remove(tag() / "zero_pp_rank_2_mp_rank_00_model_states.pt");
  EXPECT_THAT(Refusal(), HasSubstr("3 files *_optim_states.pt, but 2 *_model_states.pt"));
}

TEST_F(BrokenDeepSpeedTest, NamesFilesThatDoNotBelongTogether) {
  Copy("zero2");
  std::filesystem::copy_file(tag() / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt",
                             tag() / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
                             std::filesystem::copy_options::overwrite_existing);
  // Two short slices: 582 of 585 elements.
  EXPECT_THAT(Refusal(), HasSubstr("the flat master weights of group 0 end before it"));
  Copy("zero3");
  std::filesystem::copy_file(kFixtures / "zero2/checkpoint/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt",
                             tag() / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(Refusal(), HasSubstr("is of ZeRO stage 2, rank 0 is of 3"));
}

TEST_F(BrokenDeepSpeedTest, NamesADamagedFile) {
  Copy("zero2");
  const auto path = tag() / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 100);
  EXPECT_THAT(Refusal(), HasSubstr("rank_1_mp_rank_00_optim_states.pt: truncated"));
}

TEST_F(BrokenDeepSpeedTest, FollowsLatestOnlyInside) {
  Copy("zero2");
  WriteRaw(dir() / "latest", "../elsewhere");
  EXPECT_THAT(Refusal(), HasSubstr("latest: does not hold the plain name of a folder"));
  WriteRaw(dir() / "latest", "global_step9\n");
  EXPECT_THAT(Refusal(), HasSubstr("global_step9: no *_model_states.pt"));
  Copy("zero2");
  WriteRaw(tag() / "mp_rank_01_model_states.pt", "x");
  EXPECT_THAT(Refusal(), HasSubstr("tensor or pipeline parallel checkpoints are not read"));
}

TEST(HllmWeightsTest, SaysWhatElseIsThere) {
  TemporaryFolder folder;
  EXPECT_THAT(std::string(OpenHllmWeights(folder.path() / "none").status().message()), HasSubstr("cannot open"));
  EXPECT_THAT(std::string(OpenHllmWeights(folder.path()).status().message()),
              HasSubstr("holds no trained HLLM; read are best_model/"));
  std::filesystem::create_directories(folder.path() / "best_model");
  EXPECT_THAT(std::string(OpenHllmWeights(folder.path()).status().message()), HasSubstr("give the folder best_model in it"));
  EXPECT_THAT(std::string(OpenHllmWeights(kFixtures / "single_bin").status().message()),
              HasSubstr("a model directory of one LLM belongs in item_model_dir"));
}

}  // namespace
}  // namespace pixelrec::checkpoint
