// Whether bytes are text: UTF-8 without overlong forms, surrogates or control characters other than tab and line ends.
#pragma once

#include "absl/strings/string_view.h"

namespace pixelrec::config {

struct Utf8Check {
  bool ok = true;
  // Of the first bad byte, from 1; columns count bytes.
  int line = 1;
  int column = 1;
};

Utf8Check FirstInvalidUtf8(absl::string_view text);

}  // namespace pixelrec::config
