#include "worker/checkpoint/decoder_tensors.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace pixelrec::checkpoint {
namespace {

using Shape = std::vector<int64_t>;

// Collects one layer's (or the embeddings') tensors under a common prefix.
class Collector {
 public:
  explicit Collector(std::string prefix) : prefix_(std::move(prefix)) {}

  void Add(const char* role, std::vector<std::pair<const char*, Shape>> parts) {
    ModelTensor tensor{role, {}};
    for (auto& [name, shape] : parts) tensor.parts.push_back({absl::StrCat(prefix_, name), "", std::move(shape)});
    tensors_.push_back(std::move(tensor));
  }
  void Add(const char* role, const char* name, Shape shape) { Add(role, {{name, std::move(shape)}}); }
  std::vector<ModelTensor> Take() { return std::move(tensors_); }

 private:
  std::string prefix_;
  std::vector<ModelTensor> tensors_;
};

void AddAttention(const DecoderConfig& c, Collector& layer) {
  const int64_t hidden = c.hidden_size, q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  if (c.fused_qkv) {
    layer.Add("qkv_proj", "self_attn.W_pack.weight", {q + 2 * kv, hidden});
  } else {
    layer.Add("qkv_proj", {{"self_attn.q_proj.weight", {q, hidden}},
                           {"self_attn.k_proj.weight", {kv, hidden}},
                           {"self_attn.v_proj.weight", {kv, hidden}}});
  }
  if (c.qkv_bias)
    layer.Add("qkv_bias", {{"self_attn.q_proj.bias", {q}}, {"self_attn.k_proj.bias", {kv}}, {"self_attn.v_proj.bias", {kv}}});
  if (c.qk_norm) {
    layer.Add("q_norm", "self_attn.q_norm.weight", {c.head_dim});
    layer.Add("k_norm", "self_attn.k_norm.weight", {c.head_dim});
  }
  layer.Add("o_proj", "self_attn.o_proj.weight", {hidden, q});
  if (c.o_bias) layer.Add("o_bias", "self_attn.o_proj.bias", {hidden});
}

void AddMlp(const DecoderConfig& c, Collector& layer) {
  const int64_t hidden = c.hidden_size, wide = c.intermediate_size;
  layer.Add("up_proj", {{"mlp.gate_proj.weight", {wide, hidden}}, {"mlp.up_proj.weight", {wide, hidden}}});
  if (c.mlp_bias) layer.Add("up_bias", {{"mlp.gate_proj.bias", {wide}}, {"mlp.up_proj.bias", {wide}}});
  layer.Add("down_proj", "mlp.down_proj.weight", {hidden, wide});
  if (c.mlp_bias) layer.Add("down_bias", "mlp.down_proj.bias", {hidden});
}

std::vector<ModelTensor> DecoderLayer(const DecoderConfig& c, int64_t number) {
  Collector layer(absl::StrCat("layers.", number, "."));
  layer.Add("attention_norm", "input_layernorm.weight", {c.hidden_size});
  AddAttention(c, layer);
  // The same name stands behind the attention where a branch has two norms, and before the MLP where it has one.
  layer.Add(c.sandwich_norms ? "attention_out_norm" : "mlp_norm", "post_attention_layernorm.weight", {c.hidden_size});
  if (c.sandwich_norms) layer.Add("mlp_norm", "pre_feedforward_layernorm.weight", {c.hidden_size});
  AddMlp(c, layer);
  if (c.sandwich_norms) layer.Add("mlp_out_norm", "post_feedforward_layernorm.weight", {c.hidden_size});
  return layer.Take();
}

std::vector<ModelTensor> EncoderLayer(const DecoderConfig& c, int64_t number) {
  const int64_t hidden = c.hidden_size, wide = c.intermediate_size;
  Collector layer(absl::StrCat("encoder.layer.", number, "."));
  layer.Add("qkv_proj", {{"attention.self.query.weight", {hidden, hidden}},
                         {"attention.self.key.weight", {hidden, hidden}},
                         {"attention.self.value.weight", {hidden, hidden}}});
  layer.Add(
      "qkv_bias",
      {{"attention.self.query.bias", {hidden}}, {"attention.self.key.bias", {hidden}}, {"attention.self.value.bias", {hidden}}});
  layer.Add("o_proj", "attention.output.dense.weight", {hidden, hidden});
  layer.Add("o_bias", "attention.output.dense.bias", {hidden});
  layer.Add("attention_sum_norm", "attention.output.LayerNorm.weight", {hidden});
  layer.Add("attention_sum_norm_bias", "attention.output.LayerNorm.bias", {hidden});
  layer.Add("up_proj", "intermediate.dense.weight", {wide, hidden});
  layer.Add("up_bias", "intermediate.dense.bias", {wide});
  layer.Add("down_proj", "output.dense.weight", {hidden, wide});
  layer.Add("down_bias", "output.dense.bias", {hidden});
  layer.Add("mlp_sum_norm", "output.LayerNorm.weight", {hidden});
  layer.Add("mlp_sum_norm_bias", "output.LayerNorm.bias", {hidden});
  return layer.Take();
}

std::vector<ModelTensor> Embeddings(const DecoderConfig& c) {
  if (!c.is_encoder()) {
    Collector decoder("");
    decoder.Add("embed_tokens", "embed_tokens.weight", {c.vocab_size, c.hidden_size});
    return decoder.Take();
  }
  Collector encoder("embeddings.");
  encoder.Add("embed_tokens", "word_embeddings.weight", {c.vocab_size, c.hidden_size});
  encoder.Add("position_embeddings", "position_embeddings.weight", {c.learned_positions, c.hidden_size});
  encoder.Add("token_type_embeddings", "token_type_embeddings.weight", {c.type_vocab_size, c.hidden_size});
  encoder.Add("embedding_norm", "LayerNorm.weight", {c.hidden_size});
  encoder.Add("embedding_norm_bias", "LayerNorm.bias", {c.hidden_size});
  return encoder.Take();
}

}  // namespace

DecoderLayout LayoutOf(const DecoderConfig& config) {
  DecoderLayout layout;
  layout.embeddings = Embeddings(config);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layout.layers.push_back(config.is_encoder() ? EncoderLayer(config, i) : DecoderLayer(config, i));
  if (!config.is_encoder()) layout.head.push_back({"norm", {{"norm.weight", "", {config.hidden_size}}}});
  return layout;
}

std::vector<TensorSpec> DecoderTensors(const DecoderConfig& config) {
  std::vector<TensorSpec> tensors;
  const auto add = [&](const std::vector<ModelTensor>& some) {
    for (const ModelTensor& tensor : some) tensors.insert(tensors.end(), tensor.parts.begin(), tensor.parts.end());
  };
  const DecoderLayout layout = LayoutOf(config);
  add(layout.embeddings);
  for (const auto& layer : layout.layers) add(layer);
  add(layout.head);
  return tensors;
}

std::string PlainName(const DecoderConfig& config, absl::string_view stored_name) {
  if (!config.is_encoder()) return std::string(absl::StripPrefix(stored_name, "model."));
  const absl::string_view name = absl::StripPrefix(absl::StripPrefix(stored_name, "bert."), "roberta.");
  // Weights that came from TensorFlow keep its names of a norm's two tensors.
  return absl::StrReplaceAll(name, {{"LayerNorm.gamma", "LayerNorm.weight"}, {"LayerNorm.beta", "LayerNorm.bias"}});
}

std::string StoredName(const DecoderConfig& config, absl::string_view plain_name) {
  return absl::StrCat(config.is_encoder() ? "" : "model.", plain_name);
}

bool IsInsideModel(const DecoderConfig& config, absl::string_view name) {
  // Tables that old versions stored.
  if (absl::EndsWith(name, ".rotary_emb.inv_freq") || name == "embeddings.position_ids") return false;
  if (config.is_encoder()) return absl::StartsWith(name, "encoder.") || absl::StartsWith(name, "embeddings.");
  return absl::StartsWith(name, "layers.") || absl::StartsWith(name, "embed_tokens.") || absl::StartsWith(name, "norm.");
}

}  // namespace pixelrec::checkpoint
