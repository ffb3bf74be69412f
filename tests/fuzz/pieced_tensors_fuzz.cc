// Any bytes as the shards of a checkpoint, with the ranges that their metadata names: never a crash, never a byte outside the
// files, and accepted pieces make up each tensor exactly. Input: u32 length of the first shard, its bytes, the second shard's.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "worker/checkpoint/pieced_tensors.h"

namespace {

namespace checkpoint = pixelrec::checkpoint;

void CheckTensor(const checkpoint::PiecedTensors& tensors, const std::string& name, absl::Span<const std::byte> input) {
  const auto found = tensors.Find(name);
  if (!found.ok() || *tensors.Shape(name) != found->shape) abort();
  std::vector<std::byte> bytes;
  for (const auto& part : checkpoint::PartsOf(*found)) {
    if (!part.empty() && (part.data() < input.data() || part.data() + part.size() > input.data() + input.size())) abort();
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  if (bytes.size() != found->bytes) abort();
  if (found->dtype != "F32") return;
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!tensors.Read(name, 0, absl::MakeSpan(values)).ok()) abort();
  if (!values.empty() && std::memcmp(values.data(), bytes.data(), bytes.size()) != 0) abort();
  values.push_back(0);
  if (tensors.Read(name, 0, absl::MakeSpan(values)).ok()) abort();  // one element too many
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint32_t first = 0;
  if (size < sizeof(first)) return 0;
  std::memcpy(&first, data, sizeof(first));
  const auto input = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(data), size).subspan(sizeof(first));
  const size_t border = std::min<size_t>(first, input.size());
  std::vector<absl::Span<const std::byte>> shards = {input.subspan(0, border)};
  if (border < input.size()) shards.push_back(input.subspan(border));
  const auto tensors = checkpoint::PiecedTensors::Parse(shards, "fuzzed");
  if (!tensors.ok()) return 0;
  for (const std::string& name : (*tensors)->names()) CheckTensor(**tensors, name, input);
  return 0;
}
