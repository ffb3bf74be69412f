// A language model as a description plus one layer function: no class per model family. Encoders (BERT) are the same function
// with the mask off and the norms elsewhere.
//
// Threads: functions of their arguments; forward calls from one thread at a time.
// Shape letters: T tokens, H hidden, I intermediate, V vocabulary, Q query heads, K kv heads, D head_dim.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "worker/model/description.h"
#include "worker/model/ops.h"
#include "worker/model/rope.h"
#include "worker/model/segments.h"
#include "worker/model/weight_schedule.h"

namespace pixelrec::model {

// Projections that read the same input are one matrix: a layer is four products. A layer is two branches, attention and MLP, each
// added to its input; norms stand before a branch, behind it, or behind the sum. What a family doesn't have is undefined.
struct LayerWeights {
  at::Tensor attention_norm;           // [H], before
  at::Tensor qkv_proj;                 // [(Q + 2K) D, H]: q, k, v
  at::Tensor qkv_bias;                 // [(Q + 2K) D]
  at::Tensor q_norm;                   // [D], of each query head before its rotation
  at::Tensor k_norm;                   // [D]
  at::Tensor o_proj;                   // [H, Q D]
  at::Tensor o_bias;                   // [H]
  at::Tensor attention_out_norm;       // [H], behind
  at::Tensor attention_sum_norm;       // [H], behind the sum
  at::Tensor attention_sum_norm_bias;  // [H]
  at::Tensor mlp_norm;                 // [H], before
  at::Tensor up_proj;                  // gated [2 I, H]: gate, up; else [I, H]
  at::Tensor up_bias;                  // [2 I] or [I]
  at::Tensor down_proj;                // [H, I]
  at::Tensor down_bias;                // [H]
  at::Tensor mlp_out_norm;             // [H], behind
  at::Tensor mlp_sum_norm;             // [H], behind the sum
  at::Tensor mlp_sum_norm_bias;        // [H]
};

// Every member with its name, which is also the name of its leaf.
inline constexpr std::array<std::pair<const char*, at::Tensor LayerWeights::*>, 18> kLayerTensors = {{
    {"attention_norm", &LayerWeights::attention_norm},
    {"qkv_proj", &LayerWeights::qkv_proj},
    {"qkv_bias", &LayerWeights::qkv_bias},
    {"q_norm", &LayerWeights::q_norm},
    {"k_norm", &LayerWeights::k_norm},
    {"o_proj", &LayerWeights::o_proj},
    {"o_bias", &LayerWeights::o_bias},
    {"attention_out_norm", &LayerWeights::attention_out_norm},
    {"attention_sum_norm", &LayerWeights::attention_sum_norm},
    {"attention_sum_norm_bias", &LayerWeights::attention_sum_norm_bias},
    {"mlp_norm", &LayerWeights::mlp_norm},
    {"up_proj", &LayerWeights::up_proj},
    {"up_bias", &LayerWeights::up_bias},
    {"down_proj", &LayerWeights::down_proj},
    {"down_bias", &LayerWeights::down_bias},
    {"mlp_out_norm", &LayerWeights::mlp_out_norm},
    {"mlp_sum_norm", &LayerWeights::mlp_sum_norm},
    {"mlp_sum_norm_bias", &LayerWeights::mlp_sum_norm_bias},
}};

struct DecoderWeights {
  at::Tensor embed_tokens;  // [V, H]; undefined where only inputs_embeds are read (the user LLM, rule M6)
  // Encoders alone: rows of learned positions, of token types (type 0 is used), and the norm of their sum.
  at::Tensor position_embeddings, token_type_embeddings, embedding_norm, embedding_norm_bias;
  std::vector<LayerWeights> layers;
  at::Tensor norm;  // [H]; undefined where the last layer ends with a norm
};

enum class Rows {
  kAll,            // every position's output
  kLastOfSegment,  // the last position of each segment; the last layer computes only that row's query, MLP and norm
};

// One table per rope of the description, for sequences up to `max_length`; an identity for a model without ropes.
std::vector<RotaryTable> MakeRotaryTables(const DecoderDescription& description, int64_t max_length, const at::Device& device);

// Rows of the token embeddings, scaled where the family does so; before positions are added. `composed` as ForwardOptions.
at::Tensor EmbedTokens(const DecoderDescription& description, const DecoderWeights& weights,
                       const std::vector<int64_t>& token_ids, bool composed = false);

struct ForwardOptions {
  Rows rows = Rows::kAll;
  // A layer keeps only its input and is computed again in the backward pass.
  bool checkpointing = false;
  // Sequences of each part that a layer computes at once, so that its activations stay in cache; empty: all in one part. The
  // result is the same whatever the parts, up to rounding.
  std::vector<int64_t> parts;
  // Norms, activations, attention and lookups by namespace composed (ops.h): each rounded to the weights' type.
  bool composed = false;
  // Told of units 1 + i, and of the end of unit 0, which begins where the embeddings are looked up.
  WeightSchedule* schedule = nullptr;
};

// x_TH (token embeddings or embeddings from elsewhere) after the last norm (rules M3-M5), at the rows asked for. All parts go
// through a layer before any goes on to the next, so that a layer's weights are read in one stretch.
at::Tensor DecoderForward(const DecoderDescription& description, const DecoderWeights& weights, const at::Tensor& x_TH,
                          const Segments& segments, const std::vector<RotaryTable>& rotary, const ForwardOptions& options);

}  // namespace pixelrec::model
