#include "worker/tools/history_csv.h"

#include <span>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "worker/data/csv_parser.h"
#include "worker/data/source_file.h"

namespace pixelrec::tools {

absl::StatusOr<std::vector<UserHistory>> ReadHistories(const std::filesystem::path& file, const ItemFinder& items) {
  std::vector<UserHistory> histories;
  std::unordered_map<std::string, size_t> places;
  data::CsvParser* errors = nullptr;
  data::CsvParser parser(file.string(), {{.name = "user_id"}, {.name = "item_id"}},
                         [&](int64_t row, std::span<const absl::string_view> fields) {
                           const auto item = items.ById(fields[1]);
                           if (!item.ok()) return errors->ErrorAt(row, item.status().message());
                           const auto [place, added] = places.try_emplace(std::string(fields[0]), histories.size());
                           if (added) histories.push_back({.user = place->first, .items = {}});
                           histories[place->second].items.push_back(*item);
                           return absl::OkStatus();
                         });
  errors = &parser;
  const data::OnBytes silent = [](uint64_t) {};
  const auto hash = data::HashFile(file, silent);
  if (!hash.ok()) return hash.status();
  if (absl::Status status = data::ReadCsvFile(file, *hash, parser, silent); !status.ok()) return status;
  if (histories.empty()) return absl::InvalidArgumentError(absl::StrCat(file.string(), ": has a header but no histories"));
  return histories;
}

void RecommendationCsv::AddField(absl::string_view field) {
  if (field.find_first_of(",\"\r\n") == absl::string_view::npos) {
    absl::StrAppend(&text_, field, ",");
  } else {
    absl::StrAppend(&text_, "\"", absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\",");
  }
}

void RecommendationCsv::Add(absl::string_view user, int rank, absl::string_view item, absl::string_view title, double score) {
  AddField(user);
  absl::StrAppend(&text_, rank, ",");
  AddField(item);
  AddField(title);
  absl::StrAppendFormat(&text_, "%.6f\n", score);
}

}  // namespace pixelrec::tools
