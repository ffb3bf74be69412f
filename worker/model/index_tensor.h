// Indices of rows, from the host to where the rows are.
//
// Threads: any.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pixelrec::model {

// [n] int64. To a GPU without waiting for the work that is queued there: plain copies from pageable memory do.
at::Tensor IndexTensor(const std::vector<int64_t>& values, const at::Device& device);

}  // namespace pixelrec::model
