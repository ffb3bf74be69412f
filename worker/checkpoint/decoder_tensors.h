// The tensors of a model: their names in files, their shapes, and which of the layer function's weights they are or make up.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::checkpoint {

// One weight of the layer function (model::LayerWeights, model::DecoderWeights), by its name there, and the stored tensors that
// make it up when stacked along their first dimension. dtype is left empty.
struct ModelTensor {
  std::string role;
  std::vector<TensorSpec> parts;
};

struct DecoderLayout {
  std::vector<ModelTensor> embeddings;
  std::vector<std::vector<ModelTensor>> layers;
  std::vector<ModelTensor> head;  // the last norm; nothing where the last layer ends with one
};
DecoderLayout LayoutOf(const DecoderConfig& config);

// Every stored tensor that the model computes with, in order, by name without "model.", "bert." or "roberta.". lm_head is not
// among them.
std::vector<TensorSpec> DecoderTensors(const DecoderConfig& config);

// A name as it occurs in files -> the name as DecoderTensors spells it.
std::string PlainName(const DecoderConfig& config, absl::string_view stored_name);
// The reverse: the name under which transformers' own class of the model stores it.
std::string StoredName(const DecoderConfig& config, absl::string_view plain_name);

// A tensor inside the model: one that DecoderTensors doesn't list would be mathematics left out. Heads and stored tables are not.
bool IsInsideModel(const DecoderConfig& config, absl::string_view plain_name);

}  // namespace pixelrec::checkpoint
