// Cuts a normalised text into pieces, as SentencePiece's unigram and BPE models do.
//
// Threads: immutable; Segment may be called from several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "worker/tokenizer/piece_trie.h"
#include "worker/tokenizer/sentencepiece_model.h"

namespace pixelrec::tokenizer {

struct Segment {
  absl::string_view text;  // points into the segmented text
  int32_t id;              // the unknown piece's id where no piece fits
};

class Segmenter {
 public:
  virtual ~Segmenter() = default;
  virtual std::vector<Segment> Cut(absl::string_view normalized) const = 0;
};

// `model` and `user_defined` must outlive the segmenter.
std::unique_ptr<Segmenter> MakeUnigramSegmenter(const SentencePieceModel& model);
std::unique_ptr<Segmenter> MakeBpeSegmenter(const SentencePieceModel& model, const PieceTrie& user_defined);

}  // namespace pixelrec::tokenizer
