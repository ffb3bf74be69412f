#include "worker/checkpoint/dtype.h"

#include <array>
#include <utility>

namespace pixelrec::checkpoint {
namespace {

constexpr std::array<std::pair<absl::string_view, size_t>, 15> kElementBytes = {{{"BOOL", 1},
                                                                                 {"U8", 1},
                                                                                 {"I8", 1},
                                                                                 {"F8_E5M2", 1},
                                                                                 {"F8_E4M3", 1},
                                                                                 {"U16", 2},
                                                                                 {"I16", 2},
                                                                                 {"F16", 2},
                                                                                 {"BF16", 2},
                                                                                 {"U32", 4},
                                                                                 {"I32", 4},
                                                                                 {"F32", 4},
                                                                                 {"U64", 8},
                                                                                 {"I64", 8},
                                                                                 {"F64", 8}}};

}  // namespace

std::optional<size_t> ElementBytes(absl::string_view dtype) {
  for (const auto& [name, bytes] : kElementBytes) {
    if (name == dtype) return bytes;
  }
  return std::nullopt;
}

std::optional<uint64_t> TensorBytes(const std::vector<int64_t>& shape, size_t element_bytes) {
  uint64_t bytes = element_bytes;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return std::nullopt;
  }
  return bytes;
}

}  // namespace pixelrec::checkpoint
