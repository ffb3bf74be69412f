#include "worker/checkpoint/decoder_config.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/attention_pattern.h"
#include "worker/checkpoint/config_refusal.h"
#include "worker/checkpoint/json_file.h"
#include "worker/checkpoint/model_family.h"
#include "worker/checkpoint/rope_config.h"

namespace pixelrec::checkpoint {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr int64_t kMaxWidth = int64_t{1} << 20;  // hidden, intermediate, heads, head_dim
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxVocabulary = int64_t{1} << 28;  // so that no product of two sizes leaves 64 bits
constexpr int64_t kMaxPositions = int64_t{1} << 40;
constexpr int64_t kMaxLearnedPositions = int64_t{1} << 24;  // rows of a table

// A field that must be absent, null, or one of `harmless`.
struct FixedField {
  const char* name;
  std::vector<json> harmless;
  const char* supported;
};

// What changes a model's mathematics and is done for no family. Dropout of encoders (hidden_dropout_prob) is not among them: it
// is never applied, as in inference.
const std::vector<FixedField>& FixedFields() {
  static const auto& fields = *new std::vector<FixedField>{
      {"attention_dropout", {0}, "0"},
      {"pretraining_tp", {0, 1}, "1"},
      {"partial_rotary_factor", {1}, "1"},
      {"quantization_config", {}, "unquantised weights"},
      {"add_cross_attention", {false}, "false"},
      {"is_encoder_decoder", {false}, "false"},
      {"is_decoder", {false}, "false"},
      {"use_bidirectional_attention", {false}, "false"},
      {"position_embedding_type", {"absolute"}, "absolute"},
  };
  return fields;
}

absl::Status CheckFixed(const json& config, absl::string_view file_name, const FixedField& field) {
  const auto found = config.find(field.name);
  if (found == config.end() || found->is_null()) return absl::OkStatus();
  for (const json& value : field.harmless) {
    if (value == *found) return absl::OkStatus();
  }
  return Unsupported(file_name, field.name, *found, field.supported);
}

absl::Status CheckFixedFields(const json& config, absl::string_view file_name, const ModelFamily& family) {
  for (const FixedField& field : FixedFields()) {
    if (auto status = CheckFixed(config, file_name, field); !status.ok()) return status;
  }
  if (!family.mlp_bias_field) {
    if (auto status = CheckFixed(config, file_name, {"mlp_bias", {false}, "false"}); !status.ok()) return status;
  }
  if (family.attention_bias != BiasRule::kByField) {
    // Qwen2's are where they are whatever the field says.
    const bool some = family.attention_bias == BiasRule::kQkv;
    if (auto status = CheckFixed(config, file_name, {"attention_bias", {some}, some ? "true" : "false"}); !status.ok())
      return status;
  }
  if (family.attention_softcap == 0) {
    if (auto status = CheckFixed(config, file_name, {"attn_logit_softcapping", {}, "null"}); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// Names of one function are one; the default is the family's.
absl::Status ReadActivation(absl::string_view file_name, const ModelFamily& family, JsonFields& fields, DecoderConfig& config) {
  const std::string name = fields.String(family.activation_field, family.activation);
  if (!fields.status().ok()) return fields.status();
  if (name == "silu" || name == "swish") {
    config.activation = model::Activation::kSilu;
  } else if (name == "gelu_pytorch_tanh" || name == "gelu_new") {
    config.activation = model::Activation::kGeluTanh;
  } else if (name == "gelu") {
    // The first Gemma's files say gelu and mean its approximation, as transformers reads them.
    config.activation = absl::string_view(family.model_type) == "gemma" ? model::Activation::kGeluTanh : model::Activation::kGelu;
  } else {
    return Unsupported(file_name, family.activation_field, name, "silu, swish, gelu, gelu_new, gelu_pytorch_tanh");
  }
  return absl::OkStatus();
}

void CheckHeads(const DecoderConfig& config, bool head_dim_given, JsonFields& fields) {
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    fields.Fail("num_key_value_heads",
                absl::StrCat(config.num_key_value_heads, " doesn't divide num_attention_heads ", config.num_attention_heads));
  }
  if (!head_dim_given && config.hidden_size % config.num_attention_heads != 0) {
    fields.Fail("num_attention_heads", absl::StrCat(config.num_attention_heads, " doesn't divide hidden_size ",
                                                    config.hidden_size, ", and head_dim is not given"));
  }
  if (config.head_dim % 2 != 0 || config.head_dim == 0) {
    fields.Fail("head_dim", absl::StrCat(config.head_dim, " is not even; rotary positions turn pairs"));
  }
}

void ReadSizes(const ModelFamily& family, JsonFields& fields, DecoderConfig& config) {
  config.hidden_size = fields.Int("hidden_size", 1, kMaxWidth);
  config.intermediate_size = fields.Int("intermediate_size", 1, kMaxWidth);
  config.num_hidden_layers = fields.Int("num_hidden_layers", 1, kMaxLayers);
  config.num_attention_heads = fields.Int("num_attention_heads", 1, kMaxWidth);
  // Where the field says null, transformers takes as many as there are queries, whatever the default.
  config.num_key_value_heads =
      family.is_encoder || family.fused_qkv
          ? config.num_attention_heads
          : fields.Int("num_key_value_heads", 1, kMaxWidth,
                       family.kv_heads && !fields.IsNull("num_key_value_heads") ? *family.kv_heads : config.num_attention_heads);
  const int64_t derived = config.num_attention_heads == 0 ? 0 : config.hidden_size / config.num_attention_heads;
  const bool may_give = !family.is_encoder && !family.fused_qkv;
  config.head_dim = may_give ? fields.Int("head_dim", 1, kMaxWidth, family.head_dim.value_or(derived)) : derived;
  config.vocab_size = fields.Int("vocab_size", 1, kMaxVocabulary);
  CheckHeads(config, may_give && (fields.Has("head_dim") || family.head_dim), fields);
}

// Learned positions and token types.
void ReadEncoder(const ModelFamily& family, JsonFields& fields, DecoderConfig& config) {
  config.causal = false;
  config.gated_mlp = false;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.norm_eps = fields.Number("layer_norm_eps", 0, 1, family.norm_eps);
  config.type_vocab_size = fields.Int("type_vocab_size", 1, kMaxWidth, 2);
  config.learned_positions = fields.Int("max_position_embeddings", 1, kMaxLearnedPositions, family.max_positions);
  if (family.positions_after_padding > 0)
    config.first_learned_position = 1 + fields.Int("pad_token_id", 0, kMaxVocabulary, family.positions_after_padding - 1);
  config.max_position_embeddings = config.learned_positions;
  if (config.longest_sequence() < 1) fields.Fail("max_position_embeddings", "leaves no position behind pad_token_id");
}

absl::Status ReadDecoder(const json& config_json, absl::string_view file_name, const ModelFamily& family, JsonFields& fields,
                         DecoderConfig& config) {
  if (family.fused_qkv && !fields.Has("max_position_embeddings")) {
    return absl::UnimplementedError(absl::StrCat(
        file_name, ": max_position_embeddings: absent, so this ", family.model_type,
        " has ALiBi positions (the 13B model), which are not supported; supported: rotary positions (the 7B model)"));
  }
  config.max_position_embeddings = fields.Int("max_position_embeddings", 1, kMaxPositions, family.max_positions);
  config.norm_eps = fields.Number("rms_norm_eps", 0, 1, family.norm_eps);
  const bool by_field = family.attention_bias == BiasRule::kByField && fields.Bool("attention_bias", false);
  config.qkv_bias = by_field || family.attention_bias == BiasRule::kQkv;
  config.o_bias = by_field;
  config.mlp_bias = family.mlp_bias_field && fields.Bool("mlp_bias", false);
  config.qk_norm = family.qk_norm;
  config.sandwich_norms = family.sandwich_norms;
  config.fused_qkv = family.fused_qkv;
  config.scale_embeddings = family.scale_embeddings;
  if (family.query_scale_field) config.attention_scale = 1 / std::sqrt(fields.Number("query_pre_attn_scalar", 1e-6, 1e12, 256));
  if (family.attention_softcap > 0 && !fields.IsNull("attn_logit_softcapping"))
    config.attention_softcap = fields.Number("attn_logit_softcapping", 1e-3, 1e9, family.attention_softcap);
  if (auto status = ReadAttentionPattern(config_json, file_name, family, fields, config); !status.ok()) return status;
  return ReadRopes(config_json, file_name, family, fields, config);
}

}  // namespace

absl::StatusOr<DecoderConfig> ParseDecoderConfig(absl::string_view text, absl::string_view file_name) {
  auto parsed = ParseJson(text, file_name);
  if (!parsed.ok()) return parsed.status();
  JsonFields fields(*parsed, file_name);
  if (!fields.status().ok()) return fields.status();

  DecoderConfig config;
  config.model_type = fields.String("model_type");
  if (!fields.status().ok()) return fields.status();
  const ModelFamily* family = FindModelFamily(config.model_type);
  if (family == nullptr) return Unsupported(file_name, "model_type", config.model_type, SupportedModelTypes());
  if (auto status = CheckFixedFields(*parsed, file_name, *family); !status.ok()) return status;

  ReadSizes(*family, fields, config);
  if (!fields.status().ok()) return fields.status();
  config.norm = family->norm;
  config.tie_word_embeddings = fields.Bool("tie_word_embeddings", family->tie_word_embeddings);
  config.initializer_range = fields.Number("initializer_range", 0, 100, config.initializer_range);
  config.stored_dtype = fields.String("dtype", fields.String("torch_dtype", ""));
  if (auto status = ReadActivation(file_name, *family, fields, config); !status.ok()) return status;
  if (family->is_encoder) {
    ReadEncoder(*family, fields, config);
  } else if (auto status = ReadDecoder(*parsed, file_name, *family, fields, config); !status.ok()) {
    return status;
  }
  if (!fields.status().ok()) return fields.status();
  return config;
}

absl::StatusOr<DecoderConfig> ReadDecoderConfig(const std::filesystem::path& model_dir) {
  const auto path = model_dir / "config.json";
  auto text = ReadTextFile(path, kMaxConfigBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat(path.string(),
                                            ": not found; a Hugging Face model directory holds config.json, model.safetensors "
                                            "(or shards with model.safetensors.index.json) and a tokenizer"));
  }
  if (!text.ok()) return text.status();
  return ParseDecoderConfig(*text, path.string());
}

}  // namespace pixelrec::checkpoint
