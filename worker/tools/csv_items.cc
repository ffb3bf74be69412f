#include "worker/tools/csv_items.h"

#include <algorithm>
#include <span>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/data/csv_parser.h"
#include "worker/data/item_texts.h"
#include "worker/data/source_file.h"

namespace pixelrec::tools {
namespace {

const data::OnBytes kSilent = [](uint64_t) {};

absl::StatusOr<std::vector<std::string>> ReadTexts(const CsvItemsOptions& options, std::vector<std::string>& ids) {
  std::vector<data::CsvColumn> columns = {{.name = "item_id"}};
  for (const std::string& key : options.text_keys) columns.push_back({.name = key});
  std::vector<std::string> texts;
  std::unordered_map<std::string, size_t> places;
  data::CsvParser* errors = nullptr;
  data::CsvParser parser(options.text_data.string(), std::move(columns),
                         [&](int64_t row, std::span<const absl::string_view> fields) {
                           if (fields[0].empty()) return errors->ErrorAt(row, "item_id is empty");
                           const auto [place, added] = places.try_emplace(std::string(fields[0]), ids.size());
                           if (added) {
                             ids.emplace_back(fields[0]);
                             texts.emplace_back();
                           }
                           texts[place->second] = data::ItemText(options.item_prompt, options.text_keys, fields.subspan(1));
                           return absl::OkStatus();
                         });
  errors = &parser;
  const auto hash = data::HashFile(options.text_data, kSilent);
  if (!hash.ok()) return hash.status();
  if (absl::Status status = data::ReadCsvFile(options.text_data, *hash, parser, kSilent); !status.ok()) return status;
  return texts;
}

}  // namespace

absl::StatusOr<CsvItems> ReadCsvItems(const CsvItemsOptions& options, const tokenizer::Tokenizer& tokenizer) {
  CsvItems items;
  const auto texts = ReadTexts(options, items.ids);
  if (!texts.ok()) return texts.status();
  if (texts->empty()) return absl::InvalidArgumentError(absl::StrCat(options.text_data.string(), ": has a header but no items"));
  const auto ids = data::TokenizeTexts(*texts, tokenizer, options.threads);
  if (!ids.ok()) return ids.status();
  const auto longest = static_cast<size_t>(options.max_text_length);
  for (const std::vector<int32_t>& of_item : *ids) {
    items.truncated += of_item.size() > longest;
    items.tokens.emplace_back(of_item.begin(), of_item.begin() + static_cast<std::ptrdiff_t>(std::min(longest, of_item.size())));
  }
  return items;
}

}  // namespace pixelrec::tools
