// Which records of a long series go, so that the rest covers it evenly.
//
// Threads: pure function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pixelrec::coordinator {

// A record of training in a series: itself, and those that it stands for.
struct SeriesRecord {
  uint64_t sequence = 0;
  int64_t merged = 0;
  bool operator==(const SeriesRecord&) const = default;
};

// At most `most` of them, in the same order: neighbours are put together until each stands for about as many as the others, the
// newest of them stays and counts the rest. The newest of all stays. `most` > 0.
std::vector<SeriesRecord> Thin(const std::vector<SeriesRecord>& records, size_t most);

}  // namespace pixelrec::coordinator
