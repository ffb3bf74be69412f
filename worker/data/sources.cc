#include "worker/data/sources.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "worker/data/csv_parser.h"
#include "worker/data/pandas_values.h"

namespace pixelrec::data {
namespace {

// Reads `file` by columns; on_row gets the parser, to name the row in its own errors.
absl::Status ReadRows(const std::filesystem::path& file, const std::string& hash, std::vector<CsvColumn> columns,
                      const OnBytes& on_bytes,
                      const std::function<absl::Status(const CsvParser&, int64_t, std::span<const absl::string_view>)>& on_row) {
  const CsvParser* self = nullptr;
  CsvParser parser(file.string(), std::move(columns),
                   [&](int64_t row, std::span<const absl::string_view> fields) { return on_row(*self, row, fields); });
  self = &parser;
  return ReadCsvFile(file, hash, parser, on_bytes);
}

absl::Status ReadItemData(const PrepareOptions& options, const SourceHashes& hashes, const OnBytes& on_bytes, NameTable& items) {
  if (!options.item_data) return absl::OkStatus();
  // Read by the same reader as the interactions, so under D1 the item stands third from the right too.
  const CsvColumn item{.name = "item_id", .from_right = options.compat.columns_by_position ? size_t{3} : 0};
  return ReadRows(*options.item_data, hashes.items, {item}, on_bytes, [&](const CsvParser& parser, int64_t row, auto fields) {
    if (fields[0].empty()) return parser.ErrorAt(row, "empty item_id");
    items.Intern(fields[0]);
    return absl::OkStatus();
  });
}

// Notes which fields of an item's row are missing; a later row of the same item replaces what an earlier one said.
void NoteMissingFields(uint32_t item, std::span<const absl::string_view> values, TextCounts& counts) {
  for (size_t key = 0; key < values.size(); ++key) {
    std::vector<bool>& missing = counts.field_missing[key];
    if (item >= missing.size()) missing.resize(size_t{item} + 1, true);
    missing[item] = values[key].empty();
  }
}

// Rule X2 asks what a column is before the first of its fields is printed, so the file is read once more.
absl::StatusOr<std::vector<PandasColumn>> FindPandasColumns(const PrepareOptions& options, const std::string& hash,
                                                            const std::vector<CsvColumn>& columns) {
  std::vector<PandasColumn> found(columns.size() - 1);
  auto on_row = [&](const CsvParser&, int64_t, std::span<const absl::string_view> fields) {
    for (size_t i = 0; i < found.size(); ++i) found[i].See(fields[i + 1]);
    return absl::OkStatus();
  };
  absl::Status status = ReadRows(
      options.text_data, hash, columns, [](uint64_t) {}, on_row);
  if (!status.ok()) return status;
  AgreeOnOneType(found);
  return found;
}

}  // namespace

absl::Status ReadInteractions(const PrepareOptions& options, const SourceHashes& hashes, const OnBytes& on_bytes,
                              Interactions& interactions) {
  if (absl::Status status = ReadItemData(options, hashes, on_bytes, interactions.items); !status.ok()) return status;
  std::vector<CsvColumn> columns = {{"user_id"}, {"item_id"}, {"timestamp", /*required=*/false}};
  if (options.compat.columns_by_position) columns = {{"user_id", true, 2}, {"item_id", true, 3}, {"timestamp", true, 1}};
  return ReadRows(
      options.interaction_data, hashes.interactions, columns, on_bytes, [&](const CsvParser& parser, int64_t row, auto fields) {
        if (fields[0].empty()) return parser.ErrorAt(row, "empty user_id");
        if (fields[1].empty()) return parser.ErrorAt(row, "empty item_id");
        int64_t time = row;
        if (parser.has_column(2) && !absl::SimpleAtoi(fields[2], &time)) {
          return parser.ErrorAt(
              row, absl::StrCat("timestamp \"", fields[2].substr(0, 64),
                                "\" is not an integer; write whole seconds, or remove the column to keep the file's order"));
        }
        interactions.events.push_back({time, interactions.users.Intern(fields[0]), interactions.items.Intern(fields[1])});
        return absl::OkStatus();
      });
}

absl::Status ReadTexts(const PrepareOptions& options, const std::string& hash, const OnBytes& on_bytes, NameTable& items,
                       ItemTextCollector& texts, TextCounts& counts) {
  std::vector<CsvColumn> columns = {{"item_id"}};
  for (const std::string& key : options.text_keys) columns.push_back({key});
  counts.field_missing.assign(options.text_keys.size(), std::vector<bool>(items.size(), true));
  std::vector<PandasColumn> pandas;
  if (options.compat.pandas_values) {
    auto found = FindPandasColumns(options, hash, columns);
    if (!found.ok()) return found.status();
    pandas = *std::move(found);
  }
  std::vector<std::string> printed(options.text_keys.size());
  std::vector<absl::string_view> values(options.text_keys.size());
  std::vector<bool> seen(items.size(), false);
  auto on_row = [&](const CsvParser& parser, int64_t row, std::span<const absl::string_view> fields) {
    if (fields[0].empty()) return parser.ErrorAt(row, "empty item_id");
    ++counts.rows;
    std::optional<uint32_t> item = items.Find(fields[0]);
    counts.unknown_items += !item;
    if (!item && !options.cold_items) return absl::OkStatus();
    if (!item) item = items.Intern(fields[0]);  // rule W15
    if (*item >= seen.size()) seen.resize(size_t{*item} + 1, false);
    counts.repeated_items += seen[*item];
    seen[*item] = true;
    for (size_t key = 0; key < values.size(); ++key) {
      if (!pandas.empty()) printed[key] = pandas[key].Print(fields[key + 1]);
      values[key] = pandas.empty() ? fields[key + 1] : absl::string_view(printed[key]);
    }
    NoteMissingFields(*item, values, counts);
    return texts.Add(*item, ItemText(options.item_prompt, options.text_keys, values), ItemTitle(values));
  };
  if (absl::Status status = ReadRows(options.text_data, hash, columns, on_bytes, on_row); !status.ok()) return status;
  return texts.Finish();
}

}  // namespace pixelrec::data
