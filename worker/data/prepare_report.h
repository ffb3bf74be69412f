// PrepareReport <-> report.json beside dataset.bin, so that a reused dataset tells the same counts as when it was made.
//
// Threads: pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/prepare.h"

namespace pixelrec::data {

// Everything but `path` and `reused`, which depend on who asks.
std::string FormatReport(const PrepareReport& report);

// DATA_LOSS: not such a report.
absl::StatusOr<PrepareReport> ParseReport(absl::string_view json);

}  // namespace pixelrec::data
