// config.json of a Hugging Face model directory -> plain numbers. Reads both spellings (rule F4 of the HLLM rules): rope_theta,
// rope_scaling, torch_dtype of transformers 4, and rope_parameters, dtype of transformers 5.
//
// A field that changes the mathematics in a way this program doesn't do is refused by name, never ignored; fields that don't are
// skipped. Threads: pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::checkpoint {

// One decoder-only language model. Defaults are those of transformers' LlamaConfig.
struct DecoderConfig {
  std::string model_type;  // "llama"
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;  // divides num_attention_heads
  int64_t head_dim = 0;             // even; given, or hidden_size / num_attention_heads
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  bool tie_word_embeddings = false;
  double initializer_range = 0.02;
  bool attention_bias = false;  // true is refused so far
  bool mlp_bias = false;        // true is refused so far
  std::string hidden_act = "silu";
  std::string stored_dtype;  // "float32", "bfloat16", ... as config.json says; may be empty
  friend bool operator==(const DecoderConfig&, const DecoderConfig&) = default;
};

// INVALID_ARGUMENT: "FILE: field: what is wrong". UNIMPLEMENTED: "FILE: field: VALUE is not supported; supported: ...".
absl::StatusOr<DecoderConfig> ParseDecoderConfig(absl::string_view json, absl::string_view file_name);

// <model_dir>/config.json. NOT_FOUND: no directory or no config.json, and what a model directory must hold.
absl::StatusOr<DecoderConfig> ReadDecoderConfig(const std::filesystem::path& model_dir);

// Names (without "model."), shapes of every tensor that the decoder computes with; dtype is left empty. lm_head is not among
// them.
std::vector<TensorSpec> DecoderTensors(const DecoderConfig& config);

}  // namespace pixelrec::checkpoint
