// The weights of a Hugging Face model directory, safetensors or pytorch_model.bin, whole or in shards (weight_files.h); mapped,
// checked against the configuration, not copied.
//
// Threads: immutable once opened.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/weight_files.h"

namespace pixelrec::checkpoint {

struct ModelWeights {
  // Exactly DecoderTensors(config), by plain name (decoder_tensors.h); F32, F16 or BF16, as stored.
  std::map<std::string, TensorInfo> tensors;
  // The untrained output head where the directory has one: kept for export only (rule M6).
  std::optional<TensorInfo> lm_head;
  // Tensors that belong to no part of the decoder (other heads, old rotary tables): not used; say so to the user.
  std::vector<std::string> ignored;
  // What the pointers above lie in.
  std::vector<std::unique_ptr<TensorFile>> files;
};

// Opens and checks <model_dir>. NOT_FOUND: no weights, and what is there instead; INVALID_ARGUMENT: a missing or unexpected
// tensor, a wrong shape, an unsupported dtype, an index that disagrees with its shards: "FILE: tensor NAME: expected ..., got
// ...". DATA_LOSS: a truncated file.
absl::StatusOr<ModelWeights> OpenModelWeights(const std::filesystem::path& model_dir, const DecoderConfig& config);

}  // namespace pixelrec::checkpoint
