#include "worker/train/init_from.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/worker/checkpoint/tiny_model.h"
#include "worker/checkpoint/hllm_weights.h"
#include "worker/train/hllm_parameters.h"

namespace pixelrec::train {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

// Written by DeepSpeed and torch: tests/reference/deepspeed_fixtures.py. The sizes are those of tiny_model.h.
const std::filesystem::path kFixtures = PIXELREC_SOURCE_DIR "/tests/worker/checkpoint/fixtures";

std::unique_ptr<dist::FlatParameters> Parameters(const std::string& vocabulary = "5") {
  std::string text = checkpoint::kTinyConfig;
  text.replace(text.find("\"vocab_size\": 5"), 15, "\"vocab_size\": " + vocabulary);
  const auto config = *checkpoint::ParseDecoderConfig(text, "config.json");
  auto parameters = std::make_unique<dist::FlatParameters>(HllmUnits(config, config), at::TensorOptions(at::kFloat));
  for (const auto& [name, range] : parameters->ranges()) parameters->weight(name).fill_(-7);
  return parameters;
}

std::vector<float> Values(const at::Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  std::memcpy(values.data(), tensor.contiguous().const_data_ptr(), tensor.nbytes());
  return values;
}

TEST(InitFromTest, TakesEveryTrainedTensorBitForBitRulesF1F2) {
  const auto expected = *checkpoint::OpenHllmWeights(kFixtures / "zero2.safetensors");
  for (const char* source : {"zero2", "zero2/checkpoint", "released", "released/pytorch_model.bin", "zero2.safetensors"}) {
    const auto parameters = Parameters();
    const auto summary = InitFrom(kFixtures / source, *parameters);
    ASSERT_TRUE(summary.ok()) << source << ": " << summary.status();
    EXPECT_THAT(*summary, HasSubstr("not used: item_llm.lm_head.weight, user_llm.embed_tokens.weight, user_llm.lm_head.weight"));
    for (const auto& [name, range] : parameters->ranges()) {
      const at::Tensor weight = parameters->weight(name).contiguous();
      const checkpoint::TensorInfo& tensor = expected.tensors.at(name);
      ASSERT_EQ(weight.nbytes(), tensor.bytes) << name;
      EXPECT_EQ(std::memcmp(weight.const_data_ptr(), tensor.data, tensor.bytes), 0) << name;
    }
  }
}

TEST(InitFromTest, WidensBf16) {
  const auto parameters = Parameters();
  const auto summary = InitFrom(kFixtures / "zero3", *parameters);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(*summary, HasSubstr("zero3 (DeepSpeed ZeRO stage 3 checkpoint of 3 ranks)"));
  for (const auto& [name, range] : parameters->ranges())
    EXPECT_THAT(Values(parameters->weight(name)), Each(::testing::Ne(-7.0f))) << name;
  // A norm of ones: 0x3f80 in bf16.
  EXPECT_THAT(Values(parameters->weight("item_llm.norm.weight")), Each(1.0f));
}

TEST(InitFromTest, NamesWhatDoesNotFitAndChangesNothing) {
  const auto parameters = Parameters("6");
  const auto refused = InitFrom(kFixtures / "released", *parameters);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(refused.status().message()),
      HasSubstr("released (reference weights (torch)) doesn't fit the model of item_model_dir and user_model_dir: different: "
                "item_llm.embed_tokens.weight ([5, 4], expected [6, 4])"));
  for (const auto& [name, range] : parameters->ranges()) EXPECT_THAT(Values(parameters->weight(name)), Each(-7.0f)) << name;
}

TEST(InitFromTest, NamesWhatIsMissing) {
  TemporaryFolder folder;
  const std::vector<checkpoint::TensorSpec> half = {{"item_emb_tokens", "F32", {1, 1, 4}}, {"logit_scale", "I64", {1}}};
  checkpoint::WriteTensors(folder.path() / "half.safetensors", half);
  const auto parameters = Parameters();
  EXPECT_THAT(std::string(InitFrom(folder.path() / "half.safetensors", *parameters).status().message()),
              ::testing::AllOf(HasSubstr("missing: item_llm.embed_tokens.weight, item_llm.layers.0.input_layernorm.weight"),
                               HasSubstr(" more; different: logit_scale (I64, expected F32, F16 or BF16)")));
  EXPECT_THAT(std::string(InitFrom(folder.path() / "none", *parameters).status().message()), HasSubstr("init_from: cannot open"));
}

}  // namespace
}  // namespace pixelrec::train
