// CSV of histories in, CSV of recommendations out.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/tools/item_finder.h"

namespace pixelrec::tools {

struct UserHistory {
  std::string user;
  std::vector<uint32_t> items;  // oldest first
};

// Columns user_id and item_id; the rows of a user in the order of the file, users in order of first appearance.
// INVALID_ARGUMENT: "FILE:ROW: what is wrong", an id that is no item of the dataset included.
absl::StatusOr<std::vector<UserHistory>> ReadHistories(const std::filesystem::path& file, const ItemFinder& items);

// user_id,rank,item_id,title,score (RFC 4180; rank from 1).
class RecommendationCsv {
 public:
  void Add(absl::string_view user, int rank, absl::string_view item, absl::string_view title, double score);
  const std::string& text() const { return text_; }

 private:
  void AddField(absl::string_view field);
  std::string text_ = "user_id,rank,item_id,title,score\n";
};

}  // namespace pixelrec::tools
