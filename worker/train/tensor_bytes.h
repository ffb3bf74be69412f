// Tensors of LibTorch as the raw bytes that worker/checkpoint reads and writes, and back.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>

#include "absl/types/span.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::train {

// The tensor's values in a copy of its own, on the CPU. dtype must be F32, F16 or BF16 (checked by the readers).
at::Tensor TensorOf(const checkpoint::TensorInfo& info);

// Bytes of a contiguous CPU tensor; good as long as the tensor lives.
absl::Span<const std::byte> BytesOf(const at::Tensor& tensor);

}  // namespace pixelrec::train
