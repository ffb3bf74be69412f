// A Hugging Face model directory of a few hundred bytes, complete or broken on purpose.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/worker/checkpoint/raw_safetensors.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/decoder_tensors.h"
#include "worker/checkpoint/dtype.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::checkpoint {

inline constexpr char kTinyConfig[] =
    R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 2,
 "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 5, "torch_dtype": "bfloat16"})";

inline std::vector<TensorSpec> TinyTensors(const std::string& prefix = "model.", const std::string& dtype = "F32") {
  std::vector<TensorSpec> tensors = DecoderTensors(*ParseDecoderConfig(kTinyConfig, "config.json"));
  for (TensorSpec& tensor : tensors) {
    tensor.name = prefix + tensor.name;
    tensor.dtype = dtype;
  }
  return tensors;
}

// Bytes that differ from tensor to tensor, so that a mix-up shows.
inline std::string TensorContent(const TensorSpec& tensor) {
  std::string bytes(static_cast<size_t>(*TensorBytes(tensor.shape, *ElementBytes(tensor.dtype))), '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + std::hash<std::string>()(tensor.name));
  return bytes;
}

inline std::string Bytes(const TensorInfo& tensor) {
  return std::string(reinterpret_cast<const char*>(tensor.data), tensor.bytes);
}

inline void WriteTensors(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors) {
  auto writer = *SafetensorsWriter::Create(path, tensors, {{"format", "pt"}});
  for (const TensorSpec& tensor : tensors) {
    if (!writer->Append(tensor.name, AsBytes(TensorContent(tensor))).ok()) std::abort();
  }
  if (!writer->Finish().ok()) std::abort();
}

inline void WriteTinyModel(const std::filesystem::path& dir, const std::vector<TensorSpec>& tensors = TinyTensors()) {
  std::filesystem::create_directories(dir);
  WriteRaw(dir / "config.json", kTinyConfig);
  WriteRaw(dir / "tokenizer.model", "a tokenizer");
  WriteTensors(dir / "model.safetensors", tensors);
}

}  // namespace pixelrec::checkpoint
