// Any bytes as a file of torch.save: never a crash, and an accepted file's tensors can be read to their last byte.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "worker/checkpoint/torch_file/torch_file.h"

namespace {

uint8_t Sum(const pixelrec::checkpoint::TorchTensor& tensor) {
  uint8_t sum = 0;
  for (size_t i = 0; i < tensor.bytes; ++i) sum += std::to_integer<uint8_t>(tensor.data[i]);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace checkpoint = pixelrec::checkpoint;
  const auto bytes = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(data), size);
  // Most mutations of an archive are refused as an archive: look at the pickle on its own, too.
  const auto pickle = checkpoint::Pickle::Parse(bytes, "fuzzed");
  if (pickle.ok()) pickle->Get(pickle->root(), "module");
  const auto file = checkpoint::TorchFile::Parse(bytes, "fuzzed");
  if (!file.ok()) return 0;
  const auto state = (*file)->Tensors((*file)->pickle().root());
  if (!state.ok()) return 0;
  size_t total = 0;
  volatile uint8_t sum = 0;
  for (const auto& [name, tensor] : state->tensors) {
    // A file can name one storage many times; reading all of it for each name proves nothing new.
    if ((total += tensor.bytes) > (size_t{1} << 20)) break;
    sum = sum + Sum(tensor);
  }
  return 0;
}
