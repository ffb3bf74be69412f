#include "worker/train/tensor_bytes.h"

#include <ATen/ops/empty.h>

#include <cstring>

namespace pixelrec::train {

at::Tensor TensorOf(const checkpoint::TensorInfo& info) {
  const at::ScalarType dtype = info.dtype == "BF16" ? at::kBFloat16 : info.dtype == "F16" ? at::kHalf : at::kFloat;
  const at::Tensor tensor = at::empty(info.shape, dtype);
  TORCH_CHECK(tensor.nbytes() == info.bytes, info.name, ": ", info.bytes, " bytes for a tensor of ", tensor.nbytes());
  auto* to = static_cast<std::byte*>(tensor.mutable_data_ptr());
  for (const auto& part : checkpoint::PartsOf(info)) {
    if (!part.empty()) std::memcpy(to, part.data(), part.size());  // the file's data may be unaligned
    to += part.size();
  }
  return tensor;
}

absl::Span<const std::byte> BytesOf(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous(), "BytesOf needs a contiguous CPU tensor");
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

}  // namespace pixelrec::train
