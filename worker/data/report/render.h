// A dataset's counts and statistics for people and for programs.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "worker/data/report/statistics.h"

namespace pixelrec::data {

// What both pages begin with.
struct ReportHead {
  std::string data_hash;
  int max_text_length = 0;
  int64_t items = 0;
  int64_t tokens = 0;  // after cutting
  int64_t truncated_items = 0;
  std::vector<std::pair<std::string, int64_t>> counts;  // in words, in order
};

std::string RenderText(const ReportHead& head, const DatasetStatistics& statistics);

// One file without scripts or anything fetched: pictures are inline SVG.
std::string RenderHtml(const ReportHead& head, const DatasetStatistics& statistics);

}  // namespace pixelrec::data
