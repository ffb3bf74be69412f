#include <queue>

#include "absl/container/flat_hash_map.h"
#include "worker/tokenizer/segmenter.h"
#include "worker/tokenizer/utf8.h"

namespace pixelrec::tokenizer {
namespace {

using PieceType = SentencePieceModel::PieceType;

// A run of characters that was merged so far; merged-away symbols are empty.
struct Symbol {
  int prev;
  int next;
  bool frozen;  // user-defined: takes part in no merge
  absl::string_view text;
};

struct Merge {
  int left;
  int right;
  float score;
  size_t size;  // bytes of both when queued: tells a stale entry
  bool operator<(const Merge& other) const { return score < other.score || (score == other.score && left > other.left); }
};

using MergeOrigins = absl::flat_hash_map<absl::string_view, std::pair<absl::string_view, absl::string_view>>;

class BpeSegmenter : public Segmenter {
 public:
  BpeSegmenter(const SentencePieceModel& model, const PieceTrie& user_defined) : model_(model), user_defined_(user_defined) {
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      const auto& piece = model.pieces[id];
      const bool mergeable =
          piece.type == PieceType::kNormal || piece.type == PieceType::kUserDefined || piece.type == PieceType::kUnused;
      (mergeable ? pieces_ : reserved_).emplace(piece.text, static_cast<int32_t>(id));
    }
  }

  std::vector<Segment> Cut(absl::string_view text) const override {
    std::vector<Symbol> symbols = Split(text);
    std::priority_queue<Merge> queue;
    MergeOrigins origins;
    for (int i = 1; i < static_cast<int>(symbols.size()); ++i) Offer(symbols, i - 1, i, queue, origins);
    while (!queue.empty()) {
      const Merge merge = queue.top();
      queue.pop();
      Symbol& left = symbols[static_cast<size_t>(merge.left)];
      Symbol& right = symbols[static_cast<size_t>(merge.right)];
      if (left.text.empty() || right.text.empty() || left.text.size() + right.text.size() != merge.size) continue;
      left.text = absl::string_view(left.text.data(), merge.size);
      left.next = right.next;
      if (right.next >= 0) symbols[static_cast<size_t>(right.next)].prev = merge.left;
      right.text = absl::string_view();
      Offer(symbols, left.prev, merge.left, queue, origins);
      Offer(symbols, merge.left, left.next, queue, origins);
    }
    std::vector<Segment> segments;
    for (int i = symbols.empty() ? -1 : 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
      Emit(symbols[static_cast<size_t>(i)].text, origins, segments);
    }
    return segments;
  }

 private:
  std::vector<Symbol> Split(absl::string_view text) const {
    std::vector<Symbol> symbols;
    symbols.reserve(text.size());
    while (!text.empty()) {
      const size_t fixed = user_defined_.LongestMatch(text);
      const size_t length = fixed > 0 ? fixed : Utf8FrontLength(text);
      const int index = static_cast<int>(symbols.size());
      symbols.push_back({index - 1, index + 1, fixed > 0, text.substr(0, length)});
      text.remove_prefix(length);
    }
    if (!symbols.empty()) symbols.back().next = -1;
    return symbols;
  }

  void Offer(const std::vector<Symbol>& symbols, int left, int right, std::priority_queue<Merge>& queue,
             MergeOrigins& origins) const {
    if (left < 0 || right < 0) return;
    const Symbol& a = symbols[static_cast<size_t>(left)];
    const Symbol& b = symbols[static_cast<size_t>(right)];
    if (a.frozen || b.frozen) return;
    const absl::string_view text(a.text.data(), a.text.size() + b.text.size());
    const auto it = pieces_.find(text);
    if (it == pieces_.end()) return;
    const auto& piece = model_.pieces[static_cast<size_t>(it->second)];
    queue.push({left, right, piece.score, text.size()});
    // An unused piece may be passed through on the way to a longer one, but is taken apart again if it is left at the end.
    if (piece.type == PieceType::kUnused) origins[text] = {a.text, b.text};
  }

  void Emit(absl::string_view text, const MergeOrigins& origins, std::vector<Segment>& segments) const {
    const int32_t id = IdOf(text);
    const auto it = origins.find(text);
    if (model_.pieces[static_cast<size_t>(id)].type != PieceType::kUnused || it == origins.end()) {
      segments.push_back({text, id});
      return;
    }
    Emit(it->second.first, origins, segments);
    Emit(it->second.second, origins, segments);
  }

  int32_t IdOf(absl::string_view text) const {
    if (const auto it = reserved_.find(text); it != reserved_.end()) return it->second;
    if (const auto it = pieces_.find(text); it != pieces_.end()) return it->second;
    return model_.unk_id;
  }

  const SentencePieceModel& model_;
  const PieceTrie& user_defined_;
  absl::flat_hash_map<absl::string_view, int32_t> pieces_;    // what merges may make
  absl::flat_hash_map<absl::string_view, int32_t> reserved_;  // control, unknown and byte pieces
};

}  // namespace

std::unique_ptr<Segmenter> MakeBpeSegmenter(const SentencePieceModel& model, const PieceTrie& user_defined) {
  return std::make_unique<BpeSegmenter>(model, user_defined);
}

}  // namespace pixelrec::tokenizer
