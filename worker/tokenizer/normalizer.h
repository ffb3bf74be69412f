// SentencePiece's text normalisation: the model's character map, runs of spaces, the leading space, the space symbol.
//
// Threads: immutable after Create.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/tokenizer/piece_trie.h"
#include "worker/tokenizer/sentencepiece_model.h"

namespace pixelrec::tokenizer {

class Normalizer {
 public:
  // INVALID_ARGUMENT: the model's character map is damaged.
  static absl::StatusOr<Normalizer> Create(const SentencePieceModel& model);

  // `text` must be UTF-8. `user_defined` pieces pass unchanged.
  std::string Normalize(absl::string_view text, const PieceTrie& user_defined) const;

 private:
  Normalizer() = default;

  // What stands for the front of `text`, and how many of its bytes that covers (at least 1).
  std::pair<absl::string_view, size_t> Front(absl::string_view text, const PieceTrie& user_defined) const;
  // Longest rule of the character map at the front of `text`: {offset in replacements_, bytes matched}; 0 bytes: none.
  std::pair<size_t, size_t> LongestRule(absl::string_view text) const;

  std::vector<uint32_t> units_;  // double array; every index is checked when it is used, so that a damaged map can't lead outside
  std::string replacements_;     // NUL-terminated strings
  bool add_dummy_prefix_ = true;
  bool remove_extra_spaces_ = true;
  bool escape_spaces_ = true;
  bool space_is_suffix_ = false;
};

}  // namespace pixelrec::tokenizer
