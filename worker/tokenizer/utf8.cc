#include "worker/tokenizer/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace pixelrec::tokenizer {
namespace {

// Length of the well-formed sequence at `p`, 0 if there is none. `left` bytes may be read.
size_t SequenceLength(const unsigned char* p, size_t left) {
  auto follows = [&](size_t i, unsigned char low, unsigned char high) { return i < left && p[i] >= low && p[i] <= high; };
  const unsigned char lead = p[0];
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;   // overlong
    const unsigned char high = lead == 0xED ? 0x9F : 0xBF;  // surrogates
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned char low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;  // above U+10FFFF
    return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

}  // namespace

size_t ValidUtf8Prefix(absl::string_view text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t at = 0;
  while (at < text.size()) {
    // Most text is ASCII: eight bytes at a time.
    while (at + 8 <= text.size()) {
      uint64_t word;
      std::memcpy(&word, bytes + at, 8);
      if (word & 0x8080808080808080ull) break;
      at += 8;
    }
    if (at == text.size()) break;
    const size_t length = SequenceLength(bytes + at, text.size() - at);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

size_t Utf8FrontLength(absl::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(length, text.size());
}

}  // namespace pixelrec::tokenizer
