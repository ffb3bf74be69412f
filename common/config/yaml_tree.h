// A YAML document as a tree with places, read from untrusted text in bounded time and memory.
//
// Refused: more than 256 KiB, nesting deeper than 32, a cyclic alias, a duplicate key, a key that isn't a scalar, a tag, a second
// document, bytes that aren't UTF-8. An alias shares its node and is never expanded, so an alias bomb costs what its text costs.
// Threads: a tree is a plain value.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::config {

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  struct Entry {
    std::string key;
    int key_node = 0;
    int value_node = 0;
  };
  Kind kind = Kind::kNull;
  bool quoted = false;  // a quoted scalar is a string, whatever it looks like
  std::string scalar;
  std::vector<int> items;      // kSequence
  std::vector<Entry> entries;  // kMap
  std::string where;           // "job.yaml:3:5", or "--set spec.x=1"
};

class YamlTree {
 public:
  static constexpr size_t kMaxBytes = 256 * 1024;
  static constexpr int kMaxDepth = 32;
  static constexpr size_t kMaxNodes = 10'000;  // keys and values: no job file has as many, and reading more takes long

  // `file` names the source in places. INVALID_ARGUMENT: "FILE:LINE:COLUMN: ...".
  static absl::StatusOr<YamlTree> Parse(absl::string_view text, absl::string_view file);

  // Puts the YAML value `text` at the dotted `path`, making the maps on the way; `where` names it in errors.
  absl::Status Assign(absl::string_view path, absl::string_view text, absl::string_view where);

  const YamlNode& node(int id) const { return nodes_[static_cast<size_t>(id)]; }
  const YamlNode& root() const { return node(root_); }

 private:
  friend class YamlTreeBuilder;
  absl::StatusOr<int> ParseInto(absl::string_view text, absl::string_view file, bool with_position);

  std::vector<YamlNode> nodes_;
  int root_ = 0;
};

}  // namespace pixelrec::config
