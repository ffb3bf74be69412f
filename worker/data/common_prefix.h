// The token ids with which every item text begins: computed once, their keys and values can serve every item.
//
// Threads: pure function.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pixelrec::data {

// offsets: [items + 1] into `tokens`. Items without tokens don't count. 0 if no item has any. Reads no more of each item than is
// still common.
inline size_t CommonTokenPrefix(std::span<const uint64_t> offsets, std::span<const uint32_t> tokens) {
  std::span<const uint32_t> common;
  bool first = true;
  for (size_t item = 0; item + 1 < offsets.size() && (first || !common.empty()); ++item) {
    const auto row = tokens.subspan(offsets[item], offsets[item + 1] - offsets[item]);
    if (row.empty()) continue;
    if (first) common = row;
    first = false;
    const auto differs = std::mismatch(common.begin(), common.end(), row.begin(), row.end()).first;
    common = common.first(static_cast<size_t>(differs - common.begin()));
  }
  return common.size();
}

}  // namespace pixelrec::data
