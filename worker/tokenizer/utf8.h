// UTF-8 without tables or allocations.
//
// Threads: pure functions.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace pixelrec::tokenizer {

// Byte position of the first malformed sequence (overlong forms, surrogates and code points above U+10FFFF are malformed),
// or text.size() if there is none.
size_t ValidUtf8Prefix(absl::string_view text);

inline bool IsUtf8(absl::string_view text) { return ValidUtf8Prefix(text) == text.size(); }

// Length of the character at the front of `text`, told by its first byte alone and never beyond the end; 0 for an empty text.
size_t Utf8FrontLength(absl::string_view text);

}  // namespace pixelrec::tokenizer
