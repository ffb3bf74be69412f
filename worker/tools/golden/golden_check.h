// Computes what a golden case's numbers say, with the program's own parts, and compares.
//
// Threads: one.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "worker/tools/golden/figure.h"
#include "worker/tools/golden/golden_case.h"

namespace pixelrec::tools {

// Every figure, in the order of case.json. An error: the case names what its data or models don't have, or these can't be read.
// Prepared data goes into a temporary folder and is removed.
absl::StatusOr<std::vector<Figure>> CheckGolden(const GoldenCase& golden, int threads);

}  // namespace pixelrec::tools
