// config.json of a Hugging Face model directory -> plain numbers. Reads both spellings (rule F4 of the HLLM rules): rope_theta,
// rope_scaling, torch_dtype of transformers 4, and rope_parameters, dtype of transformers 5.
//
// A field that changes the mathematics in a way this program doesn't do is refused by name, never ignored; fields that don't are
// skipped. Absent fields take transformers' defaults of that model_type. Threads: pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/model/description.h"

namespace pixelrec::checkpoint {

// One language model: what it computes (the description), and how its directory stores it (the members here).
struct DecoderConfig : model::DecoderDescription {
  std::string model_type;  // one of model_family.cc's
  int64_t max_position_embeddings = 2048;
  bool tie_word_embeddings = false;
  double initializer_range = 0.02;
  std::string stored_dtype;  // "float32", "bfloat16", ... as config.json says; may be empty

  // Which tensors a layer has, by decoder_tensors.h.
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;         // a norm of each query and key head
  bool sandwich_norms = false;  // a norm before and one behind each branch
  bool fused_qkv = false;       // one stored tensor, W_pack
  int64_t type_vocab_size = 0;  // encoders: rows of the table of token types

  bool is_encoder() const { return !causal; }
  // Longest sequence that the table of learned positions allows; 0: no such limit.
  int64_t longest_sequence() const { return learned_positions == 0 ? 0 : learned_positions - first_learned_position; }
  friend bool operator==(const DecoderConfig&, const DecoderConfig&) = default;
};

// INVALID_ARGUMENT: "FILE: field: what is wrong". UNIMPLEMENTED: "FILE: field: VALUE is not supported; supported: ...".
absl::StatusOr<DecoderConfig> ParseDecoderConfig(absl::string_view json, absl::string_view file_name);

// <model_dir>/config.json. NOT_FOUND: no directory or no config.json, and what a model directory must hold.
absl::StatusOr<DecoderConfig> ReadDecoderConfig(const std::filesystem::path& model_dir);

}  // namespace pixelrec::checkpoint
