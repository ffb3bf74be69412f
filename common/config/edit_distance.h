// Levenshtein distance, for "did you mean".
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace pixelrec::config {

// Insertions, deletions and replacements of bytes. Words longer than 64 bytes count as far from everything.
size_t EditDistance(absl::string_view a, absl::string_view b);

}  // namespace pixelrec::config
