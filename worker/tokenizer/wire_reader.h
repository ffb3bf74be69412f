// Reads the fields of one protobuf message straight from its bytes, never past them.
//
//   WireReader reader(bytes);
//   while (reader.Next()) if (reader.field() == 1) Use(reader.bytes());
//   if (!reader.ok()) the message is damaged;
#pragma once

#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace pixelrec::tokenizer {

class WireReader {
 public:
  explicit WireReader(absl::string_view message) : rest_(message) {}

  // Moves to the next field; false at the end of the message or at the first damage.
  bool Next() {
    if (!ok_ || rest_.empty()) return false;
    uint64_t tag = 0;
    ok_ = ReadVarint(tag) && (tag >> 3) != 0 && (tag >> 3) < (1u << 29) && ReadValue(static_cast<int>(tag & 7));
    field_ = static_cast<uint32_t>(tag >> 3);
    return ok_;
  }

  bool ok() const { return ok_; }
  uint32_t field() const { return field_; }

  // The value, as the field is meant to be read. A field of another wire type makes the message damaged.
  uint64_t varint() { return Expect(0) ? varint_ : 0; }
  absl::string_view bytes() { return Expect(2) ? bytes_ : absl::string_view(); }
  float fixed32() {
    float value = 0;
    if (Expect(5)) std::memcpy(&value, bytes_.data(), 4);
    return value;
  }

 private:
  bool Expect(int type) {
    if (type_ != type) ok_ = false;
    return ok_;
  }

  bool ReadVarint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool ReadBytes(uint64_t size) {
    if (size > rest_.size()) return false;
    bytes_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  bool ReadValue(int type) {
    type_ = type;
    uint64_t size = 0;
    switch (type) {
      case 0:
        return ReadVarint(varint_);
      case 1:
        return ReadBytes(8);
      case 2:
        return ReadVarint(size) && ReadBytes(size);
      case 5:
        return ReadBytes(4);
      default:
        return false;  // groups are not used by anything read here
    }
  }

  absl::string_view rest_;
  absl::string_view bytes_;
  uint64_t varint_ = 0;
  uint32_t field_ = 0;
  int type_ = -1;
  bool ok_ = true;
};

}  // namespace pixelrec::tokenizer
