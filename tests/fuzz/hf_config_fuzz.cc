// Any bytes as config.json or model.safetensors.index.json: never a crash; an accepted configuration keeps its meaning when it is
// exported.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/decoder_tensors.h"
#include "worker/checkpoint/hf_export.h"
#include "worker/checkpoint/model_weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace checkpoint = pixelrec::checkpoint;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto index = checkpoint::ParseShardIndex(text, "fuzzed");
  if (index.ok()) {
    for (const auto& [tensor, file] : *index) {
      if (file.find('/') != std::string::npos || file.front() == '.') abort();
    }
  }
  auto config = checkpoint::ParseDecoderConfig(text, "fuzzed");
  if (!config.ok()) return 0;
  if (config->num_attention_heads % config->num_key_value_heads != 0 || config->head_dim % 2 != 0) abort();
  if (!config->layers.empty() && static_cast<int64_t>(config->layers.size()) != config->num_hidden_layers) abort();
  for (const auto& layer : config->layers) {
    if (layer.window < 0 || layer.rope >= static_cast<int64_t>(config->ropes.size())) abort();
  }
  if (config->is_encoder() ? config->longest_sequence() < 1 : config->ropes.empty()) abort();
  // The names of the tensors are checked at sizes that a test can hold.
  if (config->num_hidden_layers <= 64) {
    std::set<std::string> names;
    for (const auto& tensor : checkpoint::DecoderTensors(*config)) {
      if (!names.insert(tensor.name).second) abort();
      if (checkpoint::PlainName(*config, checkpoint::StoredName(*config, tensor.name)) != tensor.name) abort();
      if (!checkpoint::IsInsideModel(*config, tensor.name)) abort();
    }
  }
  const auto exported = checkpoint::ConfigWithDtype(text, "F32", "fuzzed");
  if (!exported.ok()) abort();
  const auto again = checkpoint::ParseDecoderConfig(*exported, "exported");
  config->stored_dtype = "float32";
  if (!again.ok() || !(*again == *config)) abort();
  return 0;
}
