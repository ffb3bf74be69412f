#include "worker/checkpoint/decoder_config.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/json_file.h"

namespace pixelrec::checkpoint {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr int64_t kMaxWidth = int64_t{1} << 20;  // hidden, intermediate, heads, head_dim
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxVocabulary = int64_t{1} << 28;  // so that no product of two sizes leaves 64 bits

absl::Status Unsupported(absl::string_view file_name, absl::string_view field, const json& value, absl::string_view supported) {
  return absl::UnimplementedError(absl::StrCat(file_name, ": ", field, ": ",
                                               value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 200),
                                               " is not supported; supported: ", supported));
}

// A field that must be absent, null, or one of `harmless`.
struct FixedField {
  const char* name;
  std::vector<json> harmless;
  const char* supported;
};

// What changes a Llama's mathematics and is not done here.
const std::vector<FixedField>& FixedFields() {
  static const auto& fields = *new std::vector<FixedField>{
      {"hidden_act", {"silu", "swish"}, "silu"},
      {"attention_bias", {false}, "false"},
      {"mlp_bias", {false}, "false"},
      {"attention_dropout", {0}, "0"},
      {"sliding_window", {}, "none (null)"},
      {"use_sliding_window", {false}, "false"},
      {"pretraining_tp", {0, 1}, "1"},
      {"partial_rotary_factor", {1}, "1"},
      {"quantization_config", {}, "unquantised weights"},
      {"add_cross_attention", {false}, "false"},
      {"is_encoder_decoder", {false}, "false"},
  };
  return fields;
}

absl::Status CheckFixedFields(const json& config, absl::string_view file_name) {
  for (const FixedField& field : FixedFields()) {
    const auto found = config.find(field.name);
    if (found == config.end() || found->is_null()) continue;
    bool harmless = false;
    for (const json& value : field.harmless) harmless |= value == *found;
    if (!harmless) return Unsupported(file_name, field.name, *found, field.supported);
  }
  const auto layers = config.find("layer_types");
  if (layers != config.end() && !layers->is_null()) {
    for (const json& layer : *layers) {
      if (layer != "full_attention") return Unsupported(file_name, "layer_types", layer, "full_attention");
    }
  }
  return absl::OkStatus();
}

// rope_scaling (transformers 4) and rope_parameters (5) share their shape: a type, perhaps the base, and a scaling's numbers.
absl::Status ReadRope(const json& config, absl::string_view file_name, JsonFields& fields, double& theta) {
  theta = fields.Number("rope_theta", 1e-3, 1e12, 10000.0);
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const auto found = config.find(name);
    if (found == config.end() || found->is_null()) continue;
    JsonFields rope(*found, absl::StrCat(file_name, ": ", name));
    if (!rope.status().ok()) return rope.status();
    const std::string type = rope.String("rope_type", rope.String("type", "default"));
    if (!rope.status().ok()) return rope.status();
    if (type != "default") return Unsupported(file_name, name, *found, "rope_type default (no scaling)");
    for (const auto& [key, value] : found->items()) {
      if (key != "rope_type" && key != "type" && key != "rope_theta" && !(key == "partial_rotary_factor" && value == 1)) {
        return Unsupported(file_name, absl::StrCat(name, ".", key), value, "rope_type and rope_theta only");
      }
    }
    const double inner = rope.Number("rope_theta", 1e-3, 1e12, theta);
    if (!rope.status().ok()) return rope.status();
    if (fields.Has("rope_theta") && inner != theta) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_name, ": rope_theta: ", theta, " contradicts ", name, ".rope_theta: ", inner));
    }
    theta = inner;
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

}  // namespace

absl::StatusOr<DecoderConfig> ParseDecoderConfig(absl::string_view text, absl::string_view file_name) {
  auto parsed = ParseJson(text, file_name);
  if (!parsed.ok()) return parsed.status();
  JsonFields fields(*parsed, file_name);
  if (!fields.status().ok()) return fields.status();

  DecoderConfig config;
  config.model_type = fields.String("model_type");
  if (!fields.status().ok()) return fields.status();
  if (config.model_type != "llama") return Unsupported(file_name, "model_type", config.model_type, "llama");
  if (auto status = CheckFixedFields(*parsed, file_name); !status.ok()) return status;

  config.hidden_size = fields.Int("hidden_size", 1, kMaxWidth);
  config.intermediate_size = fields.Int("intermediate_size", 1, kMaxWidth);
  config.num_hidden_layers = fields.Int("num_hidden_layers", 1, kMaxLayers);
  config.num_attention_heads = fields.Int("num_attention_heads", 1, kMaxWidth);
  config.num_key_value_heads = fields.Int("num_key_value_heads", 1, kMaxWidth, config.num_attention_heads);
  const bool head_dim_given = fields.Has("head_dim");
  config.head_dim = fields.Int("head_dim", 1, kMaxWidth, config.hidden_size / config.num_attention_heads);
  config.vocab_size = fields.Int("vocab_size", 1, kMaxVocabulary);
  config.max_position_embeddings = fields.Int("max_position_embeddings", 1, int64_t{1} << 40, config.max_position_embeddings);
  config.rms_norm_eps = fields.Number("rms_norm_eps", 0, 1, config.rms_norm_eps);
  config.tie_word_embeddings = fields.Bool("tie_word_embeddings", config.tie_word_embeddings);
  config.initializer_range = fields.Number("initializer_range", 0, 100, config.initializer_range);
  config.stored_dtype = fields.String("dtype", fields.String("torch_dtype", ""));
  CheckHeads(config, head_dim_given, fields);
  if (auto status = ReadRope(*parsed, file_name, fields, config.rope_theta); !status.ok()) return status;
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

std::vector<TensorSpec> DecoderTensors(const DecoderConfig& config) {
  const int64_t hidden = config.hidden_size, wide = config.intermediate_size;
  const int64_t queries = config.num_attention_heads * config.head_dim, keys = config.num_key_value_heads * config.head_dim;
  std::vector<TensorSpec> tensors;
  tensors.reserve(static_cast<size_t>(9 * config.num_hidden_layers + 2));
  tensors.push_back({"embed_tokens.weight", "", {config.vocab_size, hidden}});
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = absl::StrCat("layers.", layer, ".");
    tensors.push_back({prefix + "input_layernorm.weight", "", {hidden}});
    tensors.push_back({prefix + "self_attn.q_proj.weight", "", {queries, hidden}});
    tensors.push_back({prefix + "self_attn.k_proj.weight", "", {keys, hidden}});
    tensors.push_back({prefix + "self_attn.v_proj.weight", "", {keys, hidden}});
    tensors.push_back({prefix + "self_attn.o_proj.weight", "", {hidden, queries}});
    tensors.push_back({prefix + "post_attention_layernorm.weight", "", {hidden}});
    tensors.push_back({prefix + "mlp.gate_proj.weight", "", {wide, hidden}});
    tensors.push_back({prefix + "mlp.up_proj.weight", "", {wide, hidden}});
    tensors.push_back({prefix + "mlp.down_proj.weight", "", {hidden, wide}});
  }
  tensors.push_back({"norm.weight", "", {hidden}});
  return tensors;
}

}  // namespace pixelrec::checkpoint
