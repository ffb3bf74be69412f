// A JSON document as a tree with places, read from untrusted text in bounded time and memory.
//
// // and /* */ comments are skipped. Refused: more than 256 KiB, objects nested deeper than 16, a duplicate key, a list that
// holds anything but plain values, a root that isn't an object, bytes that aren't UTF-8. Not for JSON without places: use
// nlohmann::json. Threads: a plain value; a pure function.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace pixelrec::config {

struct JsonNode {
  static constexpr size_t kMaxBytes = 256 * 1024;
  static constexpr size_t kMaxDepth = 16;

  std::string key;
  std::string where;  // of the key: "ds.json:3:5"; of the root: "ds.json:1:1"
  bool is_object = false;
  nlohmann::json value;           // unless is_object: null, boolean, number, string or a list of those
  std::vector<JsonNode> members;  // if is_object, in the document's order
};

// `file` names the source in places. INVALID_ARGUMENT: "FILE:LINE:COLUMN: ...".
absl::StatusOr<JsonNode> ParseJsonTree(absl::string_view text, absl::string_view file);

}  // namespace pixelrec::config
