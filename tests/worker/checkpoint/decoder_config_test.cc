#include "worker/checkpoint/decoder_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/worker/checkpoint/raw_safetensors.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::HasSubstr;

constexpr char kSmall[] = R"({"model_type":"llama","hidden_size":64,"intermediate_size":172,"num_hidden_layers":5,
"num_attention_heads":8,"vocab_size":512)";

absl::StatusOr<DecoderConfig> Parse(const std::string& more) {
  return ParseDecoderConfig(absl::StrCat(kSmall, more, "}"), "dir/config.json");
}

TEST(DecoderConfig, ReadsTheQuickstartModel) {
  const auto config = ReadDecoderConfig(PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model_type, "llama");
  EXPECT_EQ(config->num_key_value_heads, 4);
  EXPECT_EQ(config->head_dim, 8);
  EXPECT_EQ(config->max_position_embeddings, 512);
  EXPECT_DOUBLE_EQ(config->rms_norm_eps, 1e-5);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_EQ(config->stored_dtype, "float32");
}

TEST(DecoderConfig, AbsentFieldsTakeTransformersDefaults) {
  const auto config = Parse("");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->num_key_value_heads, 8);  // multi-head attention
  EXPECT_EQ(config->head_dim, 8);
  EXPECT_DOUBLE_EQ(config->rms_norm_eps, 1e-6);
  EXPECT_DOUBLE_EQ(config->rope_theta, 10000.0);
  EXPECT_DOUBLE_EQ(config->initializer_range, 0.02);
  EXPECT_FALSE(config->tie_word_embeddings);
  EXPECT_EQ(*Parse(R"(,"num_key_value_heads":null,"head_dim":null,"rope_scaling":null,"sliding_window":null)"), *config);
}

// Rule F4: both generations of transformers.
TEST(DecoderConfig, BothSpellingsMeanTheSame) {
  const auto four = Parse(R"(,"rope_theta":500000.0,"rope_scaling":{"type":"default"},"torch_dtype":"bfloat16","head_dim":16)");
  const auto five = Parse(R"(,"rope_parameters":{"rope_type":"default","rope_theta":500000.0},"dtype":"bfloat16","head_dim":16)");
  ASSERT_TRUE(four.ok()) << four.status();
  ASSERT_TRUE(five.ok()) << five.status();
  EXPECT_EQ(*four, *five);
  EXPECT_DOUBLE_EQ(five->rope_theta, 500000.0);
  EXPECT_EQ(five->head_dim, 16);
  EXPECT_EQ(five->stored_dtype, "bfloat16");
}

TEST(DecoderConfig, FieldsWithoutMathematicsAreSkipped) {
  EXPECT_TRUE(Parse(R"(,"_name_or_path":"x","architectures":["LlamaForCausalLM"],"use_cache":true,"pretraining_tp":1,
    "attention_bias":false,"mlp_bias":false,"attention_dropout":0.0,"hidden_act":"silu","bos_token_id":1,
    "layer_types":["full_attention"],"transformers_version":"5.0.0")")
                  .ok());
}

struct Refusal {
  const char* more;
  const char* says;
};
class RefusedConfig : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusedConfig, NamesFileFieldAndWhatIsSupported) {
  const auto config = Parse(GetParam().more);
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(absl::StrCat("dir/config.json: ", GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    Mathematics, RefusedConfig,
    ::testing::Values(Refusal{R"(,"hidden_act":"gelu")", "hidden_act: \"gelu\" is not supported; supported: silu"},
                      Refusal{R"(,"attention_bias":true)", "attention_bias: true is not supported; supported: false"},
                      Refusal{R"(,"mlp_bias":true)", "mlp_bias: true is not supported"},
                      Refusal{R"(,"sliding_window":4096)", "sliding_window: 4096 is not supported; supported: none"},
                      Refusal{R"(,"pretraining_tp":2)", "pretraining_tp: 2 is not supported; supported: 1"},
                      Refusal{R"(,"attention_dropout":0.1)", "attention_dropout: 0.1 is not supported"},
                      Refusal{R"(,"partial_rotary_factor":0.5)", "partial_rotary_factor: 0.5 is not supported"},
                      Refusal{R"(,"quantization_config":{"bits":4})", "quantization_config: {\"bits\":4} is not supported"},
                      Refusal{R"(,"layer_types":["full_attention","sliding_attention"])",
                              "layer_types: \"sliding_attention\" is not supported"},
                      Refusal{R"(,"rope_scaling":{"type":"linear","factor":2.0})", "rope_scaling: {"},
                      Refusal{R"(,"rope_parameters":{"rope_type":"llama3","factor":8.0,"rope_theta":5e5})", "rope_parameters: {"},
                      Refusal{R"(,"rope_parameters":{"full_attention":{"rope_type":"default"}})",
                              "rope_parameters.full_attention: {"},
                      Refusal{R"(,"rope_theta":1e4,"rope_parameters":{"rope_theta":5e5})",
                              "rope_theta: 10000 contradicts rope_parameters.rope_theta"}));

INSTANTIATE_TEST_SUITE_P(
    Values, RefusedConfig,
    ::testing::Values(Refusal{R"(,"num_key_value_heads":3)", "num_key_value_heads: 3 doesn't divide num_attention_heads 8"},
                      Refusal{R"(,"head_dim":7)", "head_dim: 7 is not even"},
                      Refusal{R"(,"max_position_embeddings":0)", "max_position_embeddings: must be a whole number from 1"},
                      Refusal{R"(,"rms_norm_eps":"small")", "rms_norm_eps: must be a number"},
                      Refusal{R"(,"tie_word_embeddings":1)", "tie_word_embeddings: must be true or false"},
                      Refusal{R"(,"rope_scaling":[])", "rope_scaling: must be a JSON object"},
                      Refusal{R"(,"hidden_size":32)", "key \"hidden_size\" occurs twice"}));

TEST(DecoderConfig, RefusesWhatIsNotALlamaConfig) {
  const auto message = [](const std::string& text) {
    return std::string(ParseDecoderConfig(text, "config.json").status().message());
  };
  EXPECT_THAT(message(""), HasSubstr("config.json:1:1: not valid JSON"));
  EXPECT_THAT(message("{\n  \"a\": 1,\n  oops\n}"), HasSubstr("config.json:3:3: not valid JSON"));
  EXPECT_THAT(message("[]"), HasSubstr("config.json: must be a JSON object"));
  EXPECT_THAT(message("{}"), HasSubstr("config.json: model_type: missing"));
  EXPECT_THAT(message(R"({"model_type":"qwen3"})"), HasSubstr("model_type: \"qwen3\" is not supported; supported: llama"));
  EXPECT_THAT(message(R"({"model_type":"llama"})"), HasSubstr("config.json: hidden_size: missing"));
  EXPECT_THAT(message(std::string(1000, '[')), HasSubstr("config.json"));
  EXPECT_THAT(message(absl::StrReplaceAll(absl::StrCat(kSmall, "}"), {{"64", "-64"}})),
              HasSubstr("hidden_size: must be a whole number"));
  EXPECT_THAT(message(absl::StrReplaceAll(absl::StrCat(kSmall, "}"), {{"64", "18446744073709551615"}})),
              HasSubstr("hidden_size: must be"));
  EXPECT_THAT(message(absl::StrReplaceAll(absl::StrCat(kSmall, "}"), {{"64", "65"}})),
              HasSubstr("num_attention_heads: 8 doesn't divide"));
  EXPECT_THAT(message(absl::StrReplaceAll(absl::StrCat(kSmall, "}"), {{"64", "1e999"}})), HasSubstr("config.json"));
}

TEST(DecoderConfig, NamesAMissingDirectory) {
  TemporaryFolder folder;
  const auto config = ReadDecoderConfig(folder.path() / "absent");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr("absent/config.json: not found; a Hugging Face model directory holds"));
}

TEST(DecoderTensors, AreThoseOfALlama) {
  const auto tensors = DecoderTensors(*Parse(R"(,"num_key_value_heads":4,"head_dim":16)"));
  ASSERT_EQ(tensors.size(), 47u);
  EXPECT_EQ(tensors[2].name, "layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(tensors[2].shape, std::vector<int64_t>({128, 64}));
  EXPECT_EQ(tensors[3].shape, std::vector<int64_t>({64, 64}));
  EXPECT_EQ(tensors[5].shape, std::vector<int64_t>({64, 128}));
}

}  // namespace
}  // namespace pixelrec::checkpoint
