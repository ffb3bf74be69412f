// The content of a SentencePiece tokenizer.model, checked: what the encoders need and nothing else.
//
// Why the file is read here and not by libsentencepiece: Debian's library exports its own protobuf 3.14 symbols, so a process
// that also links Debian's protobuf 3.21, as the trainer does, aborts at start; and it trusts the offsets inside the file. The
// library stays the reference: tests compare every id with it (docs/adr/sentencepiece-encoder.md).
//
// Threads: plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::tokenizer {

struct SentencePieceModel {
  enum class Algorithm { kUnigram, kBpe };
  enum class PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };

  Algorithm algorithm = Algorithm::kUnigram;
  std::vector<Piece> pieces;  // by id
  int32_t unk_id = -1;
  std::string bos_piece = "<s>";
  std::string eos_piece = "</s>";
  bool byte_fallback = false;
  std::vector<int32_t> byte_ids;  // [256] if byte_fallback, else empty
  bool space_is_suffix = false;

  // Normaliser.
  std::string charsmap;  // a double array and the strings it points to, see Normalizer
  bool add_dummy_prefix = true;
  bool remove_extra_spaces = true;
  bool escape_spaces = true;
};

// INVALID_ARGUMENT: not a SentencePiece model, or a damaged one, or an algorithm other than unigram and BPE; the message has no
// file name.
absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(absl::string_view serialized);

}  // namespace pixelrec::tokenizer
