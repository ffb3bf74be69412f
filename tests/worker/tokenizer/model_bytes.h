// Writes SentencePiece models by hand: the few protobuf fields that matter.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace pixelrec::tokenizer {

inline std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

inline std::string NumberField(uint32_t field, uint64_t value) { return Varint(uint64_t{field} << 3) + Varint(value); }

inline std::string BytesField(uint32_t field, const std::string& bytes) {
  return Varint((uint64_t{field} << 3) | 2) + Varint(bytes.size()) + bytes;
}

inline std::string FloatField(uint32_t field, float value) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &value, 4);
  return Varint((uint64_t{field} << 3) | 5) + bytes;
}

// type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
inline std::string Piece(const std::string& text, float score = 0, int type = 1) {
  return BytesField(1, BytesField(1, text) + FloatField(2, score) + NumberField(3, static_cast<uint64_t>(type)));
}

// algorithm: 1 unigram, 2 BPE, 3 word, 4 char.
inline std::string TrainerSpec(int algorithm, bool byte_fallback = false) {
  return BytesField(2, NumberField(3, static_cast<uint64_t>(algorithm)) + NumberField(35, byte_fallback ? 1 : 0));
}

// The three special pieces every model starts with: <unk> 0, <s> 1, </s> 2.
inline std::string SpecialPieces() { return Piece("<unk>", 0, 2) + Piece("<s>", 0, 3) + Piece("</s>", 0, 3); }

}  // namespace pixelrec::tokenizer
