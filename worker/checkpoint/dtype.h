// Element types of safetensors files, by the names that the format gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"

namespace pixelrec::checkpoint {

// Bytes of one element of "F32", "BF16", "I64", ...; nothing for a name the format doesn't know (or whose elements are not whole
// bytes).
std::optional<size_t> ElementBytes(absl::string_view dtype);

// Product of the sizes times `element_bytes`; nothing where a size is negative or the product leaves 64 bits.
std::optional<uint64_t> TensorBytes(const std::vector<int64_t>& shape, size_t element_bytes);

}  // namespace pixelrec::checkpoint
