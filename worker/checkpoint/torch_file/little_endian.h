// A cursor over bytes from outside: little-endian numbers, never a read past the end.
//
// After a read that doesn't fit, ok() is false, and it and every later one give zero or nothing: check once, after a record.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pixelrec::checkpoint {

class LittleEndianReader {
 public:
  explicit LittleEndianReader(absl::Span<const std::byte> bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  size_t remaining() const { return rest_.size(); }
  absl::string_view Rest() const { return {reinterpret_cast<const char*>(rest_.data()), rest_.size()}; }

  uint8_t U8() { return static_cast<uint8_t>(Number(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Number(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Number(4)); }
  uint64_t U64() { return Number(8); }
  void Skip(uint64_t bytes) { Bytes(bytes); }

  absl::Span<const std::byte> Bytes(uint64_t bytes) {
    if (!ok_ || bytes > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const auto taken = rest_.first(static_cast<size_t>(bytes));
    rest_.remove_prefix(static_cast<size_t>(bytes));
    return taken;
  }
  absl::string_view Text(uint64_t bytes) {
    const auto taken = Bytes(bytes);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

 private:
  uint64_t Number(size_t bytes) {
    uint64_t value = 0;
    size_t shift = 0;
    for (const std::byte byte : Bytes(bytes)) value |= std::to_integer<uint64_t>(byte) << (8 * shift++);
    return value;
  }

  absl::Span<const std::byte> rest_;
  bool ok_ = true;
};

}  // namespace pixelrec::checkpoint
