// How items are put together for a pass: arithmetic that whoever plans a pass shares with whoever makes it.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/model/segments.h"

namespace pixelrec::model {

// Items that a layer computes at once, a part: enough for large matrix products, few enough that its activations stay in cache.
// And parts that callers with many items put into one call: weights are gathered once a call, hidden states are held for one.
inline constexpr int64_t kTokensPerPart = 2048;
inline constexpr int64_t kPartsPerCall = 16;

// Sequences of each part: a new one begins when one has kTokensPerPart tokens.
inline std::vector<int64_t> PartsOf(const Segments& segments) {
  std::vector<int64_t> parts;
  int64_t tokens = kTokensPerPart;
  for (int64_t s = 0; s < segments.count(); ++s) {
    if (tokens >= kTokensPerPart) {
      parts.push_back(0);
      tokens = 0;
    }
    parts.back() += 1;
    tokens += segments.length(s);
  }
  return parts;
}

}  // namespace pixelrec::model
