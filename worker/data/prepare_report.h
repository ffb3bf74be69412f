// What is stored beside dataset.bin: report.json, so that a reused dataset tells the same counts as when it was made, and the
// same with all statistics for people, as text and as a page.
//
// Threads: pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/prepare.h"
#include "worker/data/report/render.h"

namespace pixelrec::data {

// report.json: every count but `path` and `reused`, which depend on who asks, and under "statistics" all that is known.
std::string FormatReport(const PrepareReport& report, const DatasetStatistics& statistics);

// DATA_LOSS: not such a report. The statistics are for other readers.
absl::StatusOr<PrepareReport> ParseReport(absl::string_view json);

// For RenderText and RenderHtml.
ReportHead HeadOf(const PrepareReport& report, int max_text_length);

}  // namespace pixelrec::data
