// A decoder-only LLM as a description plus one layer function: no class per model family.
//
// Threads: a Decoder is immutable but for its tensors; forward calls from one thread at a time.
// Shape letters: T tokens, H hidden, I intermediate, V vocabulary, Q query heads, K kv heads, D head_dim.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "worker/model/ops.h"
#include "worker/model/segments.h"

namespace pixelrec::model {

// What config.json says, as far as it changes the mathematics.
struct DecoderDescription {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  AttentionHeads heads{};
  int64_t vocab_size = 0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
};

// Projections that read the same input are one matrix: a layer is four products.
struct LayerWeights {
  at::Tensor input_norm;           // [H]
  at::Tensor qkv_proj;             // [(Q + 2K) D, H]: q, k, v
  at::Tensor o_proj;               // [H, Q D]
  at::Tensor post_attention_norm;  // [H]
  at::Tensor gate_up_proj;         // [2 I, H]: gate, up
  at::Tensor down_proj;            // [H, I]
};

struct DecoderWeights {
  at::Tensor embed_tokens;  // [V, H]; undefined where only inputs_embeds are read (the user LLM, rule M6)
  std::vector<LayerWeights> layers;
  at::Tensor norm;  // [H]
};

enum class Rows {
  kAll,            // every position's output
  kLastOfSegment,  // the last position of each segment; the last layer computes only that row's query, MLP and norm
};

// Rotary tables for sequences up to `max_length`, built once and shared by all layers.
RotaryTable MakeRotaryTable(const DecoderDescription& description, int64_t max_length, const at::Device& device);

// x_TH after the last norm (rules M3-M5), at the rows asked for. With `checkpointing`, a layer keeps only its input and is
// computed again in the backward pass.
at::Tensor DecoderForward(const DecoderDescription& description, const DecoderWeights& weights, const at::Tensor& x_TH,
                          const Segments& segments, const RotaryTable& rotary, Rows rows, bool checkpointing);

}  // namespace pixelrec::model
