// Any bytes as a safetensors file: never a crash, never a tensor outside the file, and an accepted file's tensors cover its data
// exactly.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>

#include "worker/checkpoint/dtype.h"
#include "worker/checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace checkpoint = pixelrec::checkpoint;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  const auto index = checkpoint::ParseSafetensors(absl::MakeConstSpan(bytes, size), "fuzzed");
  if (!index.ok()) return 0;
  size_t covered = 0;
  const std::byte* lowest = bytes + size;
  for (const auto& [name, tensor] : index->tensors) {
    if (name != tensor.name || std::less<>()(tensor.data, bytes + 8) ||
        tensor.bytes > static_cast<size_t>(bytes + size - tensor.data))
      abort();
    if (checkpoint::TensorBytes(tensor.shape, *checkpoint::ElementBytes(tensor.dtype)) != tensor.bytes) abort();
    if (tensor.data < lowest) lowest = tensor.data;
    covered += tensor.bytes;
  }
  if (!index->tensors.empty() && lowest + covered != bytes + size) abort();
  return 0;
}
