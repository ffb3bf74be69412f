#include "coordinator/series/thinning.h"

#include <numeric>

namespace pixelrec::coordinator {

std::vector<SeriesRecord> Thin(const std::vector<SeriesRecord>& records, size_t most) {
  if (records.size() <= most) {
    return records;
  }
  const int64_t total = std::accumulate(records.begin(), records.end(), int64_t{0},
                                        [](int64_t sum, const SeriesRecord& record) { return sum + 1 + record.merged; });
  // Two neighbours of which neither reaches half of this fit together, so fewer than `most` groups are left.
  const int64_t group = 2 * total / static_cast<int64_t>(most) + 1;
  std::vector<SeriesRecord> kept;
  int64_t weight = 0;
  for (const SeriesRecord& record : records) {
    if (kept.empty() || weight + 1 + record.merged > group) {
      kept.push_back(record);
      weight = 1 + record.merged;
    } else {
      weight += 1 + record.merged;
      kept.back() = {.sequence = record.sequence, .merged = weight - 1};
    }
  }
  return kept;
}

}  // namespace pixelrec::coordinator
