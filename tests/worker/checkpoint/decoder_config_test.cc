#include "worker/checkpoint/decoder_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/worker/checkpoint/raw_safetensors.h"
#include "worker/checkpoint/decoder_tensors.h"

namespace pixelrec::checkpoint {
namespace {

using model::RopeScaling;
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
  EXPECT_DOUBLE_EQ(config->norm_eps, 1e-5);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_EQ(config->stored_dtype, "float32");
}

TEST(DecoderConfig, AbsentFieldsTakeTransformersDefaults) {
  const auto config = Parse("");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->num_key_value_heads, 8);  // multi-head attention
  EXPECT_EQ(config->head_dim, 8);
  EXPECT_DOUBLE_EQ(config->norm_eps, 1e-6);
  EXPECT_DOUBLE_EQ(config->ropes.at(0).theta, 10000.0);
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
  EXPECT_DOUBLE_EQ(five->ropes.at(0).theta, 500000.0);
  EXPECT_EQ(five->head_dim, 16);
  EXPECT_EQ(five->stored_dtype, "bfloat16");
}

TEST(DecoderConfig, BothSpellingsOfAScalingMeanTheSame) {
  const auto four = Parse(R"(,"rope_theta":500000.0,"rope_scaling":{"type":"linear","factor":4})");
  const auto five = Parse(R"(,"rope_parameters":{"rope_type":"linear","rope_theta":500000.0,"factor":4.0})");
  ASSERT_TRUE(four.ok()) << four.status();
  ASSERT_TRUE(five.ok()) << five.status();
  EXPECT_EQ(*four, *five);
  EXPECT_EQ(five->ropes.at(0).scaling, RopeScaling::kLinear);
  EXPECT_DOUBLE_EQ(five->ropes.at(0).factor, 4);
}

TEST(DecoderConfig, AbsentOriginalLengthIsMaxPositionEmbeddings) {
  const auto yarn = Parse(R"(,"max_position_embeddings":4096,"rope_scaling":{"rope_type":"yarn","factor":4.0})");
  ASSERT_TRUE(yarn.ok()) << yarn.status();
  EXPECT_EQ(yarn->ropes.at(0).original_positions, 4096);
  EXPECT_NEAR(yarn->ropes.at(0).attention_factor, 0.1 * std::log(4.0) + 1, 1e-12);
  const auto outside = Parse(R"(,"original_max_position_embeddings":1024,"rope_scaling":{"rope_type":"yarn","factor":4.0})");
  ASSERT_TRUE(outside.ok()) << outside.status();
  EXPECT_EQ(outside->ropes.at(0).original_positions, 1024);
  // transformers stretches dynamically from max_position_embeddings, whatever else is written.
  const auto dynamic = Parse(R"(,"rope_scaling":{"type":"dynamic","factor":2.0,"original_max_position_embeddings":512})");
  ASSERT_TRUE(dynamic.ok()) << dynamic.status();
  EXPECT_EQ(dynamic->ropes.at(0).original_positions, 2048);
}

TEST(DecoderConfig, ActivationsHaveSeveralNames) {
  EXPECT_EQ(Parse(R"(,"hidden_act":"swish")")->activation, model::Activation::kSilu);
  EXPECT_EQ(Parse(R"(,"hidden_act":"gelu_new")")->activation, model::Activation::kGeluTanh);
  EXPECT_EQ(Parse(R"(,"hidden_act":"gelu")")->activation, model::Activation::kGelu);
}

// The same sizes as another model_type.
absl::StatusOr<DecoderConfig> ParseAs(const std::string& model_type, const std::string& more) {
  return ParseDecoderConfig(
      absl::StrReplaceAll(absl::StrCat(kSmall, more, "}"), {{"\"llama\"", absl::StrCat("\"", model_type, "\"")}}),
      "dir/config.json");
}

std::vector<int64_t> Windows(const absl::StatusOr<DecoderConfig>& config) {
  std::vector<int64_t> windows;
  if (!config.ok()) return {-1};
  for (const model::LayerAttention& layer : config->layers) windows.push_back(layer.window);
  return windows;
}

TEST(DecoderConfig, WindowsOfEachFamily) {
  using testing::ElementsAre, testing::IsEmpty;
  EXPECT_THAT(Windows(ParseAs("mistral", "")), ElementsAre(4096, 4096, 4096, 4096, 4096));
  EXPECT_THAT(Windows(ParseAs("mistral", R"(,"sliding_window":null)")), IsEmpty());
  EXPECT_THAT(Windows(ParseAs("qwen2", R"(,"sliding_window":8,"num_key_value_heads":8)")), IsEmpty());
  EXPECT_THAT(
      Windows(ParseAs("qwen2", R"(,"num_key_value_heads":8,"use_sliding_window":true,"sliding_window":8,"max_window_layers":3)")),
      ElementsAre(0, 0, 0, 8, 8));
  EXPECT_THAT(Windows(ParseAs("qwen3", R"(,"num_key_value_heads":8,"use_sliding_window":true,"layer_types":["sliding_attention",
              "full_attention","full_attention","sliding_attention","full_attention"])")),
              ElementsAre(4096, 0, 0, 4096, 0));
  EXPECT_THAT(Windows(ParseAs("gemma2", "")), ElementsAre(4096, 0, 4096, 0, 4096));
  const auto gemma3 = ParseAs("gemma3_text", R"(,"sliding_window":16,"sliding_window_pattern":2,"rope_local_base_freq":1000)");
  EXPECT_THAT(Windows(gemma3), ElementsAre(16, 0, 16, 0, 16));
  ASSERT_EQ(gemma3->ropes.size(), 2u);
  EXPECT_EQ(gemma3->layers[0].rope, 1);
  EXPECT_EQ(gemma3->layers[1].rope, 0);
  EXPECT_DOUBLE_EQ(gemma3->ropes[0].theta, 1e6);
  EXPECT_DOUBLE_EQ(gemma3->ropes[1].theta, 1000);
}

TEST(DecoderConfig, DefaultsOfEachFamily) {
  const auto qwen2 = ParseAs("qwen2", R"(,"num_key_value_heads":null)");
  ASSERT_TRUE(qwen2.ok()) << qwen2.status();
  EXPECT_TRUE(qwen2->qkv_bias);
  EXPECT_FALSE(qwen2->o_bias);
  EXPECT_EQ(qwen2->num_key_value_heads, 8);  // null is not absent: 32 would be
  const auto qwen3 = ParseAs("qwen3", R"(,"num_key_value_heads":4)");
  ASSERT_TRUE(qwen3.ok()) << qwen3.status();
  EXPECT_TRUE(qwen3->qk_norm);
  EXPECT_EQ(qwen3->head_dim, 128);
  const auto gemma2 = ParseAs("gemma2", R"(,"query_pre_attn_scalar":16)");
  ASSERT_TRUE(gemma2.ok()) << gemma2.status();
  EXPECT_EQ(gemma2->norm, model::Norm::kRmsOnePlus);
  EXPECT_TRUE(gemma2->sandwich_norms && gemma2->scale_embeddings && gemma2->tie_word_embeddings);
  EXPECT_DOUBLE_EQ(gemma2->attention_scale, 0.25);
  EXPECT_DOUBLE_EQ(gemma2->attention_softcap, 50);
  EXPECT_DOUBLE_EQ(ParseAs("gemma2", R"(,"attn_logit_softcapping":null)")->attention_softcap, 0);
  const auto bert = ParseAs("bert", "");
  ASSERT_TRUE(bert.ok()) << bert.status();
  EXPECT_TRUE(bert->is_encoder());
  EXPECT_EQ(bert->longest_sequence(), 512);
  EXPECT_EQ(ParseAs("roberta", R"(,"max_position_embeddings":514)")->longest_sequence(), 512);
}

TEST(DecoderConfig, RefusesWhatAFamilyDoesNotHave) {
  const auto message = [](const char* family, const char* more) { return std::string(ParseAs(family, more).status().message()); };
  EXPECT_THAT(message("mistral", R"(,"attention_bias":true)"),
              HasSubstr("attention_bias: true is not supported; supported: false"));
  EXPECT_THAT(
      message("mistral",
              R"(,"layer_types":["full_attention","sliding_attention","full_attention","full_attention","full_attention"])"),
      HasSubstr("layer_types: \"full_attention\" is not supported; supported: sliding_attention in every layer"));
  EXPECT_THAT(message("gemma2", R"(,"sliding_window":null)"),
              HasSubstr("sliding_window: null is not supported; supported: a number"));
  EXPECT_THAT(message("gemma3_text", R"(,"use_bidirectional_attention":true)"), HasSubstr("use_bidirectional_attention: true"));
  EXPECT_THAT(message("gemma3_text", R"(,"attn_logit_softcapping":30.0)"),
              HasSubstr("attn_logit_softcapping: 30.0 is not supported"));
  EXPECT_THAT(message("gemma3_text", R"(,"rope_parameters":{"full_attention":{},"chunked_attention":{}})"),
              HasSubstr("rope_parameters.chunked_attention: {} is not supported"));
  EXPECT_THAT(message("baichuan", ""), HasSubstr("ALiBi positions (the 13B model), which are not supported"));
  EXPECT_THAT(message("bert", R"(,"position_embedding_type":"relative_key")"),
              HasSubstr("position_embedding_type: \"relative_key\" is not supported; supported: absolute"));
  EXPECT_THAT(message("bert", R"(,"is_decoder":true)"), HasSubstr("is_decoder: true is not supported"));
  EXPECT_THAT(message("roberta", R"(,"max_position_embeddings":2)"), HasSubstr("leaves no position behind pad_token_id"));
}

TEST(DecoderConfig, FieldsWithoutMathematicsAreSkipped) {
  EXPECT_TRUE(Parse(R"(,"_name_or_path":"x","architectures":["LlamaForCausalLM"],"use_cache":true,"pretraining_tp":1,
    "attention_bias":false,"mlp_bias":false,"attention_dropout":0.0,"hidden_act":"silu","bos_token_id":1,
    "use_sliding_window":false,"transformers_version":"5.0.0")")
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
    ::testing::Values(
        Refusal{R"(,"hidden_act":"relu")", "hidden_act: \"relu\" is not supported; supported: silu, swish, gelu"},
        Refusal{R"(,"sliding_window":4096)", "sliding_window: 4096 is not supported; supported: none"},
        Refusal{R"(,"pretraining_tp":2)", "pretraining_tp: 2 is not supported; supported: 1"},
        Refusal{R"(,"attention_dropout":0.1)", "attention_dropout: 0.1 is not supported"},
        Refusal{R"(,"partial_rotary_factor":0.5)", "partial_rotary_factor: 0.5 is not supported"},
        Refusal{R"(,"quantization_config":{"bits":4})", "quantization_config: {\"bits\":4} is not supported"},
        Refusal{R"(,"layer_types":["full_attention","sliding_attention"])",
                "layer_types: must be an array of num_hidden_layers 5 names"},
        Refusal{R"(,"layer_types":["full_attention","full_attention","full_attention","full_attention",
                              "sliding_attention"])",
                "layer_types: \"sliding_attention\" is not supported"},
        Refusal{R"(,"layer_types":["full_attention","full_attention","full_attention","full_attention",
                              "chunked_attention"])",
                "layer_types: \"chunked_attention\" is not supported; supported: full_attention"},
        Refusal{R"(,"rope_scaling":{"type":"longrope","factor":2.0})",
                "rope_scaling: {\"factor\":2.0,\"type\":\"longrope\"} is not supported; supported: rope_type default"},
        Refusal{R"(,"rope_scaling":{"type":"default","mrope_section":[1,2]})",
                "rope_scaling.mrope_section: [1,2] is not supported; supported: with rope_type default: rope_theta only"},
        Refusal{R"(,"rope_scaling":{"type":"linear"})", "rope_scaling: factor: missing"},
        Refusal{R"(,"rope_scaling":{"type":"linear","factor":0.5})", "rope_scaling: factor: must be a number from 1"},
        Refusal{R"(,"rope_scaling":{"type":"dynamic","factor":2.0},"head_dim":2)",
                "rope_scaling: rope_type: dynamic needs a head_dim of more than 2"},
        Refusal{R"(,"rope_parameters":{"rope_type":"llama3","factor":8.0,"rope_theta":5e5})",
                "rope_parameters: low_freq_factor: missing"},
        Refusal{R"(,"rope_parameters":{"rope_type":"llama3","factor":8.0,"low_freq_factor":4,"high_freq_factor":1})",
                "rope_parameters: high_freq_factor: must be above low_freq_factor"},
        Refusal{R"(,"rope_parameters":{"full_attention":{"rope_type":"default"}})", "rope_parameters.full_attention: {"},
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
  EXPECT_THAT(
      message(R"({"model_type":"gpt2"})"),
      HasSubstr("model_type: \"gpt2\" is not supported; supported: llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3_text, "
                "baichuan, bert"));
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

std::vector<std::string> NamesOfLayer(const std::string& model_type, const std::string& more, size_t layer = 1) {
  std::vector<std::string> names;
  const auto config = ParseAs(model_type, more);
  if (!config.ok()) return {std::string(config.status().message())};
  const DecoderLayout layout = LayoutOf(*config);
  for (const ModelTensor& tensor : layout.layers.at(layer)) {
    for (const TensorSpec& part : tensor.parts) names.push_back(absl::StrCat(tensor.role, " ", part.name));
  }
  return names;
}

TEST(DecoderTensors, AreNamedAsTheFamilyStoresThem) {
  using testing::AllOf, testing::Contains, testing::Not;
  EXPECT_THAT(NamesOfLayer("llama", R"(,"attention_bias":true,"mlp_bias":true)"),
              AllOf(Contains("o_bias layers.1.self_attn.o_proj.bias"), Contains("up_bias layers.1.mlp.gate_proj.bias"),
                    Contains("down_bias layers.1.mlp.down_proj.bias")));
  EXPECT_THAT(NamesOfLayer("qwen2", R"(,"num_key_value_heads":8)"),
              AllOf(Contains("qkv_bias layers.1.self_attn.v_proj.bias"), Not(Contains("o_bias layers.1.self_attn.o_proj.bias"))));
  EXPECT_THAT(NamesOfLayer("qwen3", R"(,"num_key_value_heads":8)"), Contains("k_norm layers.1.self_attn.k_norm.weight"));
  EXPECT_THAT(NamesOfLayer("gemma2", ""), AllOf(Contains("attention_out_norm layers.1.post_attention_layernorm.weight"),
                                                Contains("mlp_norm layers.1.pre_feedforward_layernorm.weight"),
                                                Contains("mlp_out_norm layers.1.post_feedforward_layernorm.weight")));
  EXPECT_THAT(NamesOfLayer("baichuan", R"(,"max_position_embeddings":4096)"),
              Contains("qkv_proj layers.1.self_attn.W_pack.weight"));
  EXPECT_THAT(NamesOfLayer("bert", ""), Contains("attention_sum_norm_bias encoder.layer.1.attention.output.LayerNorm.bias"));
}

TEST(DecoderTensors, NamesInFilesHaveAPrefix) {
  const auto llama = Parse("");
  EXPECT_EQ(PlainName(*llama, "model.norm.weight"), "norm.weight");
  EXPECT_EQ(PlainName(*llama, "norm.weight"), "norm.weight");
  EXPECT_EQ(StoredName(*llama, "norm.weight"), "model.norm.weight");
  EXPECT_TRUE(IsInsideModel(*llama, "layers.0.self_attn.q_proj.bias"));
  EXPECT_FALSE(IsInsideModel(*llama, "layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(IsInsideModel(*llama, "lm_head.weight"));
  const auto bert = ParseAs("bert", "");
  EXPECT_EQ(PlainName(*bert, "bert.embeddings.LayerNorm.gamma"), "embeddings.LayerNorm.weight");
  EXPECT_EQ(StoredName(*bert, "embeddings.LayerNorm.weight"), "embeddings.LayerNorm.weight");
  EXPECT_FALSE(IsInsideModel(*bert, "embeddings.position_ids"));
  EXPECT_FALSE(IsInsideModel(*bert, "pooler.dense.weight"));
}

}  // namespace
}  // namespace pixelrec::checkpoint
