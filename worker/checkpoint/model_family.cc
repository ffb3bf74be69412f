#include "worker/checkpoint/model_family.h"

#include <vector>

#include "absl/strings/str_join.h"

namespace pixelrec::checkpoint {
namespace {

using model::Norm;

// Defaults are those of the configuration classes in transformers 5.
const std::vector<ModelFamily>& Families() {
  static const auto& families = *new std::vector<ModelFamily>{
      {.model_type = "llama", .attention_bias = BiasRule::kByField, .mlp_bias_field = true, .max_positions = 2048},
      {.model_type = "mistral", .kv_heads = 8, .windows = WindowRule::kEveryLayer, .max_positions = 131072},
      {.model_type = "qwen2",
       .attention_bias = BiasRule::kQkv,
       .kv_heads = 32,
       .windows = WindowRule::kUpperLayers,
       .max_positions = 32768},
      {.model_type = "qwen3",
       .attention_bias = BiasRule::kByField,
       .qk_norm = true,
       .kv_heads = 32,
       .head_dim = 128,
       .windows = WindowRule::kUpperLayers,
       .max_positions = 32768},
      {.model_type = "gemma",
       .norm = Norm::kRmsOnePlus,
       .activation = "gelu_pytorch_tanh",
       .attention_bias = BiasRule::kByField,
       .scale_embeddings = true,
       .kv_heads = 16,
       .head_dim = 256,
       .max_positions = 8192,
       .tie_word_embeddings = true},
      {.model_type = "gemma2",
       .norm = Norm::kRmsOnePlus,
       .activation_field = "hidden_activation",
       .activation = "gelu_pytorch_tanh",
       .attention_bias = BiasRule::kByField,
       .sandwich_norms = true,
       .scale_embeddings = true,
       .query_scale_field = true,
       .attention_softcap = 50,
       .kv_heads = 4,
       .head_dim = 256,
       .windows = WindowRule::kAlternating,
       .window_pattern = 2,
       .max_positions = 8192,
       .tie_word_embeddings = true},
      {.model_type = "gemma3_text",
       .norm = Norm::kRmsOnePlus,
       .activation_field = "hidden_activation",
       .activation = "gelu_pytorch_tanh",
       .attention_bias = BiasRule::kByField,
       .qk_norm = true,
       .sandwich_norms = true,
       .scale_embeddings = true,
       .query_scale_field = true,
       .kv_heads = 4,
       .head_dim = 256,
       .windows = WindowRule::kAlternating,
       .window_pattern = 6,
       .local_rope = true,
       .rope_theta = 1e6,
       .max_positions = 131072,
       .tie_word_embeddings = true},
      {.model_type = "baichuan", .fused_qkv = true},
      {.model_type = "bert",
       .is_encoder = true,
       .norm = Norm::kLayer,
       .activation = "gelu",
       .max_positions = 512,
       .norm_eps = 1e-12,
       .tie_word_embeddings = true},
      {.model_type = "roberta",
       .is_encoder = true,
       .norm = Norm::kLayer,
       .activation = "gelu",
       .max_positions = 512,
       .norm_eps = 1e-12,
       .tie_word_embeddings = true,
       .positions_after_padding = 2},
      {.model_type = "xlm-roberta",
       .is_encoder = true,
       .norm = Norm::kLayer,
       .activation = "gelu",
       .max_positions = 512,
       .norm_eps = 1e-12,
       .tie_word_embeddings = true,
       .positions_after_padding = 2},
  };
  return families;
}

}  // namespace

const ModelFamily* FindModelFamily(absl::string_view model_type) {
  for (const ModelFamily& family : Families()) {
    if (model_type == family.model_type) return &family;
  }
  return nullptr;
}

std::string SupportedModelTypes() {
  return absl::StrJoin(Families(), ", ", [](std::string* out, const ModelFamily& family) { out->append(family.model_type); });
}

}  // namespace pixelrec::checkpoint
