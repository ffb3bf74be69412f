#include "worker/train/hllm_parameters.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/normal.h>

#include <cstddef>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/model_weights.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

using checkpoint::DecoderConfig;

dist::Unit LayerUnit(const DecoderConfig& c, const std::string& prefix) {
  const int64_t h = c.hidden_size, q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim,
                i = c.intermediate_size;
  const auto name = [&](const char* rest) { return absl::StrCat(prefix, rest); };
  return {prefix,
          {{name("input_norm"), {{name("input_layernorm.weight"), {h}}}},
           {name("qkv_proj"),
            {{name("self_attn.q_proj.weight"), {q, h}},
             {name("self_attn.k_proj.weight"), {kv, h}},
             {name("self_attn.v_proj.weight"), {kv, h}}}},
           {name("o_proj"), {{name("self_attn.o_proj.weight"), {h, q}}}},
           {name("post_attention_norm"), {{name("post_attention_layernorm.weight"), {h}}}},
           {name("gate_up_proj"), {{name("mlp.gate_proj.weight"), {i, h}}, {name("mlp.up_proj.weight"), {i, h}}}},
           {name("down_proj"), {{name("mlp.down_proj.weight"), {h, i}}}}}};
}

std::string LayerPrefix(const std::string& side, int64_t layer) { return absl::StrCat(side, ".layers.", layer, "."); }

model::DecoderWeights DecoderLeaves(const dist::FlatParameters& p, const std::string& side, int64_t layers) {
  model::DecoderWeights weights;
  for (int64_t i = 0; i < layers; ++i) {
    const auto leaf = [&](const char* name) { return p.leaf(absl::StrCat(LayerPrefix(side, i), name)); };
    weights.layers.push_back({.input_norm = leaf("input_norm"),
                              .qkv_proj = leaf("qkv_proj"),
                              .o_proj = leaf("o_proj"),
                              .post_attention_norm = leaf("post_attention_norm"),
                              .gate_up_proj = leaf("gate_up_proj"),
                              .down_proj = leaf("down_proj")});
  }
  weights.norm = p.leaf(absl::StrCat(side, ".norm.weight"));
  return weights;
}

}  // namespace

model::DecoderDescription Describe(const DecoderConfig& config) {
  return {
      .hidden_size = config.hidden_size,
      .intermediate_size = config.intermediate_size,
      .num_layers = config.num_hidden_layers,
      .heads = {.query_heads = config.num_attention_heads, .kv_heads = config.num_key_value_heads, .head_dim = config.head_dim},
      .vocab_size = config.vocab_size,
      .rms_norm_eps = config.rms_norm_eps,
      .rope_theta = config.rope_theta};
}

std::vector<dist::Unit> HllmUnits(const DecoderConfig& item_llm, const DecoderConfig& user_llm) {
  const auto single = [](const std::string& name, std::vector<int64_t> shape) {
    return dist::Leaf{name, {{name, std::move(shape)}}};
  };
  std::vector<dist::Unit> units;
  units.push_back({"embeddings", {single("item_llm.embed_tokens.weight", {item_llm.vocab_size, item_llm.hidden_size})}});
  for (int64_t i = 0; i < item_llm.num_hidden_layers; ++i) units.push_back(LayerUnit(item_llm, LayerPrefix("item_llm", i)));
  for (int64_t i = 0; i < user_llm.num_hidden_layers; ++i) units.push_back(LayerUnit(user_llm, LayerPrefix("user_llm", i)));
  units.push_back(
      {"head",
       {single("item_llm.norm.weight", {item_llm.hidden_size}), single("user_llm.norm.weight", {user_llm.hidden_size}),
        single("item_emb_tokens", {1, 1, item_llm.hidden_size}), single("logit_scale", {})}});
  return units;
}

model::HllmWeights LeafWeights(const dist::FlatParameters& parameters, int64_t item_layers, int64_t user_layers) {
  model::HllmWeights weights{.item_llm = DecoderLeaves(parameters, "item_llm", item_layers),
                             .user_llm = DecoderLeaves(parameters, "user_llm", user_layers),
                             .item_emb_tokens = parameters.leaf("item_emb_tokens"),
                             .logit_scale = parameters.leaf("logit_scale")};
  weights.item_llm.embed_tokens = parameters.leaf("item_llm.embed_tokens.weight");
  return weights;
}

absl::StatusOr<std::vector<std::string>> LoadSide(const std::filesystem::path& model_dir, const DecoderConfig& config,
                                                  const std::string& side, dist::FlatParameters& parameters) {
  auto opened = checkpoint::OpenModelWeights(model_dir, config);
  if (!opened.ok()) return opened.status();
  for (const auto& [name, info] : opened->tensors) {
    const std::string full = absl::StrCat(side, ".", name);
    if (parameters.ranges().contains(full)) parameters.weight(full).copy_(TensorOf(info));
  }
  return std::move(opened->ignored);
}

void InitializeHead(uint64_t seed, dist::FlatParameters& parameters) {
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  at::Tensor token = parameters.weight("item_emb_tokens");
  token.copy_(at::normal(0.0, 0.02, token.sizes(), generator));
  parameters.weight("logit_scale").fill_(model::kInitialLogitScale);
}

}  // namespace pixelrec::train
