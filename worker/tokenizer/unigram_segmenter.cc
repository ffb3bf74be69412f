#include <algorithm>
#include <limits>

#include "worker/tokenizer/segmenter.h"
#include "worker/tokenizer/utf8.h"

namespace pixelrec::tokenizer {
namespace {

using PieceType = SentencePieceModel::PieceType;

// An unknown character costs this much more than the worst piece.
constexpr float kUnknownPenalty = 10.0f;

// The best-scoring path through all pieces (Viterbi), one pass from left to right.
class UnigramSegmenter : public Segmenter {
 public:
  explicit UnigramSegmenter(const SentencePieceModel& model) : model_(model) {
    float lowest = std::numeric_limits<float>::max();
    float highest = std::numeric_limits<float>::min();
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      const auto& piece = model.pieces[id];
      if (piece.type == PieceType::kNormal) {
        lowest = std::min(lowest, piece.score);
        highest = std::max(highest, piece.score);
      }
      if (piece.type == PieceType::kNormal || piece.type == PieceType::kUserDefined)
        trie_.Insert(piece.text, static_cast<int32_t>(id));
    }
    unknown_score_ = lowest - kUnknownPenalty;
    highest_ = highest;
  }

  std::vector<Segment> Cut(absl::string_view text) const override {
    struct Best {
      size_t start = kNowhere;
      float score = 0;
      int32_t id = -1;
    };
    std::vector<Best> best(text.size() + 1);  // [position]: how the best path reaches it
    for (size_t start = 0; start < text.size();) {
      const float here = best[start].score;
      // Sums are compared as double and kept as float, as the reference does: it decides between paths of nearly the same score.
      auto offer = [&](size_t end, double score, int32_t id) {
        if (best[end].start == kNowhere || score > best[end].score) best[end] = {start, static_cast<float>(score), id};
      };
      const size_t one = Utf8FrontLength(text.substr(start));
      bool has_single = false;
      uint32_t node = PieceTrie::kRoot;
      for (size_t end = start; end < text.size();) {
        node = trie_.Child(node, text[end]);
        if (node == PieceTrie::kNone) break;
        ++end;
        const int32_t id = trie_.id(node);
        if (id < 0) continue;
        offer(end, Score(id, end - start) + here, id);
        has_single |= end - start == one;
      }
      if (!has_single) offer(start + one, unknown_score_ + here, model_.unk_id);
      start += one;
    }

    std::vector<Segment> segments;
    for (size_t end = text.size(); end > 0; end = best[end].start) {
      segments.push_back({text.substr(best[end].start, end - best[end].start), best[end].id});
    }
    std::reverse(segments.begin(), segments.end());
    return segments;
  }

 private:
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();

  // User-defined pieces win over anything they cover.
  double Score(int32_t id, size_t bytes) const {
    const auto& piece = model_.pieces[static_cast<size_t>(id)];
    if (piece.type != PieceType::kUserDefined) return piece.score;
    return static_cast<float>(bytes) * highest_ - 0.1;
  }

  const SentencePieceModel& model_;
  PieceTrie trie_;
  float unknown_score_ = 0;
  float highest_ = 0;
};

}  // namespace

std::unique_ptr<Segmenter> MakeUnigramSegmenter(const SentencePieceModel& model) {
  return std::make_unique<UnigramSegmenter>(model);
}

}  // namespace pixelrec::tokenizer
