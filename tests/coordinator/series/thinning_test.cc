#include "coordinator/series/thinning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace pixelrec::coordinator {
namespace {

using testing::ElementsAre;

std::vector<SeriesRecord> Records(size_t count) {
  std::vector<SeriesRecord> records;
  for (size_t i = 1; i <= count; ++i) records.push_back({.sequence = i});
  return records;
}

int64_t Total(const std::vector<SeriesRecord>& records) {
  return std::accumulate(records.begin(), records.end(), int64_t{0},
                         [](int64_t sum, const SeriesRecord& r) { return sum + 1 + r.merged; });
}

TEST(Thinning, LeavesAShortSeriesAlone) {
  EXPECT_EQ(Thin(Records(4), 4), Records(4));
  EXPECT_TRUE(Thin({}, 1).empty());
}

TEST(Thinning, PutsNeighboursTogetherAndTheNewestStays) {
  EXPECT_THAT(Thin(Records(6), 4), ElementsAre(SeriesRecord{4, 3}, SeriesRecord{6, 1}));
  EXPECT_THAT(Thin(Records(5), 1), ElementsAre(SeriesRecord{5, 4}));
}

// Whatever was merged before, no record is counted twice or forgotten, and there is room again.
TEST(Thinning, OfAGrowingSeriesKeepsCountAndCoversItEvenly) {
  constexpr size_t kMost = 100;
  std::vector<SeriesRecord> series;
  for (uint64_t i = 1; i <= 100000; ++i) {
    series.push_back({.sequence = i});
    if (series.size() <= kMost) continue;
    series = Thin(series, kMost / 2);
    ASSERT_LE(series.size(), kMost / 2);
    ASSERT_EQ(series.back().sequence, i);
    ASSERT_EQ(Total(series), static_cast<int64_t>(i));
  }
  int64_t most = 0;
  for (const SeriesRecord& record : series) most = std::max(most, record.merged);
  EXPECT_LT(most, 8 * 100000 / static_cast<int64_t>(kMost)) << "no long gap";
}

}  // namespace
}  // namespace pixelrec::coordinator
