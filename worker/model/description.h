// A language model in numbers: what config.json says, as far as it changes the mathematics. One description for every family; the
// tensors that a layer has (biases, norms around a branch) say the rest.
//
// Knows no LibTorch, so that worker/checkpoint, which reads it from files, needs none either. Shape letters: D head_dim.
#pragma once

#include <cstdint>
#include <vector>

namespace pixelrec::model {

enum class Norm {
  kRms,         // x / rms(x) * weight (rule M5)
  kRmsOnePlus,  // x / rms(x) * (1 + weight), the Gemma family
  kLayer,       // (x - mean) / deviation * weight + bias, encoders
};

enum class Activation { kSilu, kGeluTanh, kGelu };

enum class RopeScaling { kNone, kLinear, kDynamic, kLlama3, kYarn };

// Rotary positions (rule M5) as transformers computes them. Each scaling reads the members named after it.
struct Rope {
  RopeScaling scaling = RopeScaling::kNone;
  double theta = 10000.0;
  double factor = 1;               // all scalings
  int64_t original_positions = 0;  // dynamic, llama3, yarn: the length before the stretch
  double low_freq_factor = 1;      // llama3
  double high_freq_factor = 4;     // llama3
  double beta_fast = 32;           // yarn
  double beta_slow = 1;            // yarn
  bool truncate = true;            // yarn
  double attention_factor = 1;     // yarn: multiplies cos and sin
  friend bool operator==(const Rope&, const Rope&) = default;
};

// How one layer attends.
struct LayerAttention {
  int64_t window = 0;  // a query sees itself and the window - 1 tokens before it; 0: all of them
  int64_t rope = 0;    // which of the description's ropes
  friend bool operator==(const LayerAttention&, const LayerAttention&) = default;
};

struct DecoderDescription {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;  // divides num_attention_heads
  int64_t head_dim = 0;             // even; num_attention_heads * head_dim need not be hidden_size
  int64_t vocab_size = 0;

  bool causal = true;  // false: an encoder, every token sees its whole segment
  Norm norm = Norm::kRms;
  double norm_eps = 1e-6;
  Activation activation = Activation::kSilu;
  bool gated_mlp = true;               // down(act(gate(x)) * up(x)); false: down(act(up(x)))
  bool scale_embeddings = false;       // token embeddings are multiplied by sqrt(hidden_size)
  double attention_scale = 0;          // of q k^T; 0: 1 / sqrt(head_dim)
  double attention_softcap = 0;        // c tanh(scores / c); 0: none
  std::vector<Rope> ropes;             // empty: no rotary positions
  std::vector<LayerAttention> layers;  // one per layer; empty: every layer sees everything before it, with the first rope
  int64_t learned_positions = 0;       // rows of the table of learned positions; 0: none
  int64_t first_learned_position = 0;  // row of a segment's first token
  friend bool operator==(const DecoderDescription&, const DecoderDescription&) = default;
};

}  // namespace pixelrec::model
