#include "common/config/utf8.h"

#include <cstddef>
#include <cstdint>

namespace pixelrec::config {
namespace {

// Bytes of the valid character at the front of `text`, or 0.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return first >= 0x20 ? (first != 0x7F) : (first == '\t' || first == '\n' || first == '\r');
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if (first == 0xE0 && byte(1) < 0xA0) return 0;   // overlong
  if (first == 0xED && byte(1) >= 0xA0) return 0;  // surrogate
  if (first == 0xF0 && byte(1) < 0x90) return 0;   // overlong
  if (first == 0xF4 && byte(1) >= 0x90) return 0;  // beyond U+10FFFF
  return length;
}

}  // namespace

Utf8Check FirstInvalidUtf8(absl::string_view text) {
  Utf8Check check;
  for (size_t i = 0; i < text.size();) {
    const size_t length = CharacterLength(text.substr(i));
    if (length == 0) {
      check.ok = false;
      return check;
    }
    if (text[i] == '\n') {
      ++check.line;
      check.column = 1;
    } else {
      check.column += static_cast<int>(length);
    }
    i += length;
  }
  return check;
}

}  // namespace pixelrec::config
