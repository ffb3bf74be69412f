// Any bytes as config.json or model.safetensors.index.json: never a crash; an accepted configuration keeps its meaning when it is
// exported.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "worker/checkpoint/decoder_config.h"
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
  const auto exported = checkpoint::ConfigWithDtype(text, "F32", "fuzzed");
  if (!exported.ok()) abort();
  const auto again = checkpoint::ParseDecoderConfig(*exported, "exported");
  config->stored_dtype = "float32";
  if (!again.ok() || !(*again == *config)) abort();
  return 0;
}
