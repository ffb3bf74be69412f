// Finds the item that a person means by an id or a title.
//
// Threads: immutable once made.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::tools {

class ItemFinder {
 public:
  using TextOf = std::function<absl::string_view(uint32_t item)>;

  // Items 1..items. `title_of`: fields joined by " | "; the first one counts as the title, too.
  ItemFinder(uint32_t items, TextOf name_of, TextOf title_of);

  // NOT_FOUND: no such id.
  absl::StatusOr<uint32_t> ById(absl::string_view id) const;

  // An id; or else a title, whole or its first field, as it is written or in another case.
  // NOT_FOUND: names the nearest titles. FAILED_PRECONDITION: several items have that title; names their ids.
  absl::StatusOr<uint32_t> ByIdOrTitle(absl::string_view text) const;

 private:
  std::string Nearest(absl::string_view text) const;

  const uint32_t items_;
  const TextOf name_of_, title_of_;
  std::unordered_map<std::string, uint32_t> ids_;
  std::unordered_map<std::string, std::vector<uint32_t>> titles_;  // lower-cased
};

}  // namespace pixelrec::tools
