// What there is to know about a prepared dataset before training on it: lengths, popularity, what is missing.
//
// Threads: pure function, plain data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace pixelrec::data {

// Values low..high, both included.
struct HistogramBin {
  int64_t low = 0;
  int64_t high = 0;
  int64_t count = 0;
};

struct Spread {
  double mean = 0;
  int64_t p50 = 0;
  int64_t p90 = 0;
  int64_t p99 = 0;
  int64_t max = 0;
};

struct PopularItem {
  std::string name;
  std::string title;
  int64_t interactions = 0;
};

struct DatasetStatistics {
  Spread token_lengths;  // tokens of an item's text before it is cut, over items that have text
  std::vector<HistogramBin> token_histogram;
  Spread history_lengths;  // events of a user
  std::vector<HistogramBin> history_histogram;
  // Shares of 0-1: the most popular `first` of the items have `second` of the interactions.
  std::vector<std::pair<double, double>> popularity_shares;
  // (rank from 1, interactions of the item at that rank), ranks spaced evenly on a logarithmic scale.
  std::vector<std::pair<int64_t, int64_t>> popularity_curve;
  std::vector<HistogramBin> train_count_classes;  // items by occurrences in train parts: 0, 1-5, 6-20, more
  std::vector<PopularItem> most_popular;
  std::vector<std::pair<std::string, int64_t>> missing_fields;  // text key, items whose field is empty or that have no row
  int64_t common_prefix = 0;                                    // token ids with which the text of every item begins
  int64_t text_rows = 0;                                        // of the text file, without the header
  int64_t repeated_text_rows = 0;                               // replaced an earlier row of the same item
  int64_t unknown_text_rows = 0;                                // of items without interactions
};

// Views of what was built; item i here is item i + 1 of the dataset.
struct StatisticsInput {
  std::span<const uint32_t> token_lengths;    // [items], 0: no text
  std::span<const uint64_t> history_offsets;  // [users + 1]
  std::span<const uint32_t> history;          // items from 1
  std::span<const uint32_t> train_counts;     // [items + 1]
};

// Fills everything that follows from `input`; most_popular without names and titles, whose items it returns in order.
std::vector<uint32_t> Summarise(const StatisticsInput& input, DatasetStatistics& statistics);

}  // namespace pixelrec::data
