// Pieces by their bytes, walked one byte at a time.
//
// Threads: immutable once filled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace pixelrec::tokenizer {

class PieceTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = ~uint32_t{0};

  void Insert(absl::string_view piece, int32_t id) {
    uint32_t node = kRoot;
    for (char c : piece) {
      const auto [it, added] = children_.try_emplace(Key(node, c), static_cast<uint32_t>(ids_.size()));
      if (added) ids_.push_back(-1);
      node = it->second;
    }
    ids_[node] = id;
  }

  uint32_t Child(uint32_t node, char byte) const {
    const auto it = children_.find(Key(node, byte));
    return it == children_.end() ? kNone : it->second;
  }

  // Id of the piece that ends at `node`, -1 if none does.
  int32_t id(uint32_t node) const { return ids_[node]; }

  // Bytes of the longest piece at the front of `text`; 0 if there is none.
  size_t LongestMatch(absl::string_view text) const {
    size_t longest = 0;
    uint32_t node = kRoot;
    for (size_t i = 0; i < text.size() && !children_.empty(); ++i) {
      node = Child(node, text[i]);
      if (node == kNone) break;
      if (ids_[node] >= 0) longest = i + 1;
    }
    return longest;
  }

 private:
  static uint64_t Key(uint32_t node, char byte) { return (uint64_t{node} << 8) | static_cast<unsigned char>(byte); }

  absl::flat_hash_map<uint64_t, uint32_t> children_;
  std::vector<int32_t> ids_ = {-1};
};

}  // namespace pixelrec::tokenizer
