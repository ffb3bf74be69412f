// What a model_type stands for where config.json says nothing: the layout of its layers, and transformers' defaults of its
// fields. A row per family; the reader of config.json is one for all.
//
// Private to this folder. Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "worker/model/description.h"

namespace pixelrec::checkpoint {

// Where a family's sliding windows come from.
enum class WindowRule {
  kNone,
  kEveryLayer,   // sliding_window, for all layers
  kUpperLayers,  // use_sliding_window, then layer_types or the layers from max_window_layers on
  kAlternating,  // layer_types, or all but each n-th layer (sliding_window_pattern)
};
// Which projections of the attention have a bias.
enum class BiasRule { kNone, kQkv, kByField };

struct ModelFamily {
  const char* model_type;
  bool is_encoder = false;
  model::Norm norm = model::Norm::kRms;
  const char* activation_field = "hidden_act";
  const char* activation = "silu";
  BiasRule attention_bias = BiasRule::kNone;
  bool mlp_bias_field = false;
  bool qk_norm = false;
  bool sandwich_norms = false;
  bool scale_embeddings = false;
  bool fused_qkv = false;
  bool query_scale_field = false;        // query_pre_attn_scalar, 256
  double attention_softcap = 0;          // default of attn_logit_softcapping, for the family that has it
  std::optional<int64_t> kv_heads = {};  // default; none: as many as there are query heads
  std::optional<int64_t> head_dim = {};  // default; none: hidden_size / num_attention_heads
  WindowRule windows = WindowRule::kNone;
  int64_t window_pattern = 0;  // kAlternating's n
  bool local_rope = false;     // sliding layers have a rope of their own
  double rope_theta = 10000;
  std::optional<int64_t> max_positions = {};  // default of max_position_embeddings; none: required
  double norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  int64_t positions_after_padding = 0;  // encoders: learned positions start at pad_token_id + 1, whose default is this - 1
};

// nullptr: none of that name.
const ModelFamily* FindModelFamily(absl::string_view model_type);
// "llama, mistral, ...", for messages.
std::string SupportedModelTypes();

}  // namespace pixelrec::checkpoint
