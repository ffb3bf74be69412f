#include "worker/tokenizer/sentencepiece_model.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "worker/tokenizer/utf8.h"
#include "worker/tokenizer/wire_reader.h"

namespace pixelrec::tokenizer {
namespace {

using Algorithm = SentencePieceModel::Algorithm;
using Piece = SentencePieceModel::Piece;
using PieceType = SentencePieceModel::PieceType;

// Field numbers of sentencepiece_model.proto.
constexpr uint32_t kModelPieces = 1, kModelTrainerSpec = 2, kModelNormalizerSpec = 3;
constexpr uint32_t kPieceText = 1, kPieceScore = 2, kPieceType = 3;
constexpr uint32_t kTrainerAlgorithm = 3, kTrainerSpaceIsSuffix = 24, kTrainerByteFallback = 35, kTrainerBos = 46,
                   kTrainerEos = 47;
constexpr uint32_t kNormalizerCharsmap = 2, kNormalizerDummyPrefix = 3, kNormalizerExtraSpaces = 4, kNormalizerEscape = 5;

// Longer pieces don't occur; the bound keeps the recursion of BPE's re-segmentation shallow.
constexpr size_t kMaxPieceBytes = 4096;
constexpr size_t kMaxPieces = 1 << 24;

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not a readable SentencePiece model: ", what));
}

absl::Status ParsePiece(absl::string_view bytes, std::vector<Piece>& pieces) {
  Piece piece;
  WireReader reader(bytes);
  uint64_t type = 1;
  while (reader.Next()) {
    if (reader.field() == kPieceText) piece.text = std::string(reader.bytes());
    if (reader.field() == kPieceScore) piece.score = reader.fixed32();
    if (reader.field() == kPieceType) type = reader.varint();
  }
  const std::string where = absl::StrCat("piece ", pieces.size());
  if (!reader.ok()) return Damaged(absl::StrCat(where, " is damaged"));
  if (piece.text.empty() || piece.text.size() > kMaxPieceBytes || !IsUtf8(piece.text)) {
    return Damaged(absl::StrCat(where, " is empty, too long or not UTF-8"));
  }
  if (!std::isfinite(piece.score)) return Damaged(absl::StrCat(where, " has no finite score"));
  if (type < 1 || type > 6) return Damaged(absl::StrCat(where, " has the unknown type ", type));
  if (pieces.size() >= kMaxPieces) return Damaged(absl::StrCat("more than ", kMaxPieces, " pieces"));
  piece.type = static_cast<PieceType>(type);
  pieces.push_back(std::move(piece));
  return absl::OkStatus();
}

absl::Status ParseTrainerSpec(absl::string_view bytes, SentencePieceModel& model) {
  WireReader reader(bytes);
  uint64_t algorithm = 1;
  while (reader.Next()) {
    switch (reader.field()) {
      case kTrainerAlgorithm:
        algorithm = reader.varint();
        break;
      case kTrainerSpaceIsSuffix:
        model.space_is_suffix = reader.varint() != 0;
        break;
      case kTrainerByteFallback:
        model.byte_fallback = reader.varint() != 0;
        break;
      case kTrainerBos:
        model.bos_piece = std::string(reader.bytes());
        break;
      case kTrainerEos:
        model.eos_piece = std::string(reader.bytes());
        break;
      default:
        break;
    }
  }
  if (!reader.ok()) return Damaged("its trainer settings are damaged");
  if (algorithm != 1 && algorithm != 2) {
    return absl::InvalidArgumentError(absl::StrCat("SentencePiece model of type ",
                                                   algorithm == 3   ? "word"
                                                   : algorithm == 4 ? "char"
                                                                    : "unknown",
                                                   "; unigram and BPE models are read"));
  }
  model.algorithm = algorithm == 1 ? Algorithm::kUnigram : Algorithm::kBpe;
  return absl::OkStatus();
}

absl::Status ParseNormalizerSpec(absl::string_view bytes, SentencePieceModel& model) {
  WireReader reader(bytes);
  while (reader.Next()) {
    switch (reader.field()) {
      case kNormalizerCharsmap:
        model.charsmap = std::string(reader.bytes());
        break;
      case kNormalizerDummyPrefix:
        model.add_dummy_prefix = reader.varint() != 0;
        break;
      case kNormalizerExtraSpaces:
        model.remove_extra_spaces = reader.varint() != 0;
        break;
      case kNormalizerEscape:
        model.escape_spaces = reader.varint() != 0;
        break;
      default:
        break;
    }
  }
  return reader.ok() ? absl::OkStatus() : Damaged("its normaliser settings are damaged");
}

// "<0x0A>" -> 10, anything else -> -1.
int ByteOfPiece(absl::string_view text) {
  uint32_t value = 0;
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  if (!absl::SimpleHexAtoi(text.substr(3, 2), &value) || value > 255) return -1;
  return static_cast<int>(value);
}

// One unknown piece, no piece twice, and either all 256 byte pieces or none.
absl::Status IndexPieces(SentencePieceModel& model) {
  if (model.byte_fallback) model.byte_ids.assign(256, -1);
  absl::flat_hash_set<absl::string_view> seen;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    if (!seen.insert(piece.text).second) return Damaged(absl::StrCat("piece ", id, " repeats an earlier one"));
    if (piece.type == PieceType::kUnknown) {
      if (model.unk_id >= 0) return Damaged("it has two unknown pieces");
      model.unk_id = static_cast<int32_t>(id);
    }
    if (piece.type == PieceType::kByte) {
      const int byte = ByteOfPiece(piece.text);
      if (byte < 0 || !model.byte_fallback) return Damaged(absl::StrCat("piece ", id, " is an unexpected byte piece"));
      model.byte_ids[static_cast<size_t>(byte)] = static_cast<int32_t>(id);
    }
  }
  if (model.unk_id < 0) return Damaged("it has no unknown piece");
  for (int32_t id : model.byte_ids) {
    if (id < 0) return Damaged("byte fallback is on, but a byte piece is missing");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(absl::string_view serialized) {
  if (serialized.empty()) return Damaged("the file is empty");
  SentencePieceModel model;
  WireReader reader(serialized);
  while (reader.Next()) {
    absl::Status status;
    if (reader.field() == kModelPieces) status = ParsePiece(reader.bytes(), model.pieces);
    if (reader.field() == kModelTrainerSpec) status = ParseTrainerSpec(reader.bytes(), model);
    if (reader.field() == kModelNormalizerSpec) status = ParseNormalizerSpec(reader.bytes(), model);
    if (!status.ok()) return status;
    if (!reader.ok()) break;
  }
  if (!reader.ok()) return Damaged("it is truncated or is another kind of file");
  if (model.pieces.empty()) return Damaged("it has no pieces");
  if (absl::Status status = IndexPieces(model); !status.ok()) return status;
  return model;
}

}  // namespace pixelrec::tokenizer
