#include "worker/data/dataset_builder.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "worker/data/csv_parser.h"
#include "worker/data/item_texts.h"
#include "worker/data/name_table.h"

namespace pixelrec::data {
namespace {

constexpr uint64_t kMinEvents = 3;  // rule W7

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

// Item numbers here are one below those of the dataset, where 0 is padding.
struct Source {
  NameTable items;
  NameTable users;
  std::vector<Event> events;
  uint32_t train_items = 0;
  std::vector<std::string> texts;   // [items]
  std::vector<std::string> titles;  // [items]
};

absl::Status ReadItemData(const PrepareOptions& options, const SourceHashes& hashes, const OnBytes& on_bytes, Source& source) {
  if (!options.item_data) return absl::OkStatus();
  return ReadRows(*options.item_data, hashes.items, {{"item_id"}}, on_bytes,
                  [&](const CsvParser& parser, int64_t row, auto fields) {
                    if (fields[0].empty()) return parser.ErrorAt(row, "empty item_id");
                    source.items.Intern(fields[0]);
                    return absl::OkStatus();
                  });
}

absl::Status ReadInteractions(const PrepareOptions& options, const SourceHashes& hashes, const OnBytes& on_bytes,
                              Source& source) {
  const std::vector<CsvColumn> columns = {{"user_id"}, {"item_id"}, {"timestamp", /*required=*/false}};
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
        source.events.push_back({time, source.users.Intern(fields[0]), source.items.Intern(fields[1])});
        return absl::OkStatus();
      });
}

absl::Status ReadTexts(const PrepareOptions& options, const SourceHashes& hashes, const OnBytes& on_bytes, Source& source) {
  std::vector<CsvColumn> columns = {{"item_id"}};
  for (const std::string& key : options.text_keys) columns.push_back({key});
  source.texts.resize(source.items.size());
  source.titles.resize(source.items.size());
  return ReadRows(options.text_data, hashes.texts, columns, on_bytes, [&](const CsvParser& parser, int64_t row, auto fields) {
    if (fields[0].empty()) return parser.ErrorAt(row, "empty item_id");
    std::optional<uint32_t> item = source.items.Find(fields[0]);
    if (!item && !options.cold_items) return absl::OkStatus();
    if (!item) {  // rule W15
      item = source.items.Intern(fields[0]);
      source.texts.emplace_back();
      source.titles.emplace_back();
    }
    source.texts[*item] =
        ItemText(options.item_prompt, options.text_keys, fields.subspan(1));  // the last row of an item wins (X3)
    source.titles[*item] = ItemTitle(fields.subspan(1));
    return absl::OkStatus();
  });
}

size_t DistinctItems(std::span<const uint32_t> chunk) {
  std::vector<uint32_t> items(chunk.begin(), chunk.end());
  std::sort(items.begin(), items.end());
  return static_cast<size_t>(std::unique(items.begin(), items.end()) - items.begin());
}

// Rule W2: every chunk, and every row of the validation, must leave an item to draw.
absl::Status CheckNegativesExist(const PrepareOptions& options, const BuiltDataset& built) {
  const auto m = static_cast<size_t>(options.max_seq_length);
  if (built.train_items > m) return absl::OkStatus();
  auto check = [&](uint32_t user, std::span<const uint32_t> chunk) {
    if (DistinctItems(chunk) < built.train_items) return absl::OkStatus();
    const auto& names = built.user_names;
    const absl::string_view name(names.bytes.data() + names.offsets[user], names.offsets[user + 1] - names.offsets[user]);
    return absl::FailedPreconditionError(
        absl::StrCat(options.interaction_data.string(), ": a chunk of user \"", name, "\" holds all ", built.train_items,
                     " items, which leaves none to draw as a negative; lower max_seq_length or add items"));
  };
  auto history = [&](uint32_t user) {
    const auto& h = built.histories;
    return std::span(h.items).subspan(h.offsets[user], h.offsets[user + 1] - h.offsets[user]);
  };
  for (const Sample& sample : built.samples) {
    if (absl::Status status = check(sample.user, history(sample.user).subspan(sample.start, sample.length)); !status.ok())
      return status;
  }
  for (uint32_t user : built.eval_users) {
    const auto seen = history(user).first(history(user).size() - 1);
    if (absl::Status status = check(user, seen.last(std::min(seen.size(), m))); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CutChunks(const PrepareOptions& options, BuiltDataset& built, PrepareReport& report) {
  const Histories& histories = built.histories;
  built.train_counts.assign(built.item_names.offsets.size(), 0);
  for (uint32_t user = 0; user < histories.users.size(); ++user) {
    const uint64_t begin = histories.offsets[user];
    const uint64_t events = histories.offsets[user + 1] - begin;
    if (events < kMinEvents) {
      ++report.short_users;
      continue;
    }
    built.eval_users.push_back(user);
    for (uint64_t i = 0; i + 2 < events; ++i) ++built.train_counts[histories.items[begin + i]];
    report.dropped_chunks += AppendChunks(user, events, options.max_seq_length, options.data_split, built.samples);
  }
  report.samples = static_cast<int64_t>(built.samples.size());
  if (built.samples.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(options.interaction_data.string(), ": no training sample is left of ",
                                                      report.interactions, " interactions: ", report.short_users, " of ",
                                                      report.users, " users have fewer than 3 events, ", report.dropped_chunks,
                                                      " have 3; a sample needs a user with 4 or more"));
  }
  return CheckNegativesExist(options, built);
}

}  // namespace

DatasetContent BuiltDataset::Content(const PrepareOptions& options, const std::string& data_hash, int32_t vocab_size) const {
  DatasetContent content;
  content.data_hash = data_hash;
  content.items = static_cast<uint32_t>(item_names.offsets.size() - 1);
  content.train_items = train_items;
  content.users = static_cast<uint32_t>(user_names.offsets.size() - 1);
  content.vocab_size = vocab_size;
  content.max_seq_length = options.max_seq_length;
  content.max_text_length = options.max_text_length;
  content.Set(kTokenOffsets, token_offsets);
  content.Set(kTokens, tokens);
  content.Set(kHistoryOffsets, histories.offsets);
  content.Set(kHistory, histories.items);
  content.Set(kTimes, histories.times);
  content.Set(kSamples, samples);
  content.Set(kEvalUsers, eval_users);
  content.Set(kTrainCounts, train_counts);
  content.Set(kItemNameOffsets, item_names.offsets);
  content.Set(kItemNames, item_names.bytes);
  content.Set(kItemTitleOffsets, item_titles.offsets);
  content.Set(kItemTitles, item_titles.bytes);
  content.Set(kUserNameOffsets, user_names.offsets);
  content.Set(kUserNames, user_names.bytes);
  return content;
}

absl::StatusOr<BuiltDataset> BuildDataset(const PrepareOptions& options, const SourceHashes& hashes,
                                          const tokenizer::Tokenizer& tokenizer, const BuildProgress& progress,
                                          PrepareReport& report) {
  Source source;
  if (absl::Status status = ReadItemData(options, hashes, progress.on_bytes, source); !status.ok()) return status;
  if (absl::Status status = ReadInteractions(options, hashes, progress.on_bytes, source); !status.ok()) return status;
  source.train_items = static_cast<uint32_t>(source.items.size());
  if (absl::Status status = ReadTexts(options, hashes, progress.on_bytes, source); !status.ok()) return status;
  report.interactions = static_cast<int64_t>(source.events.size());
  report.users = static_cast<int64_t>(source.users.size());
  report.items = static_cast<int64_t>(source.items.size());

  BuiltDataset built;
  built.train_items = source.train_items;
  built.histories = GroupByUser(std::move(source.events), static_cast<uint32_t>(source.users.size()));
  for (uint32_t& item : built.histories.items) ++item;
  for (uint32_t user : built.histories.users) built.user_names.Add(source.users.name(user));
  for (absl::string_view name : source.items.names()) built.item_names.Add(name);
  for (const std::string& title : source.titles) built.item_titles.Add(title);
  report.duplicate_interactions = CountDuplicates(built.histories);
  report.items_without_text = std::count(source.texts.begin(), source.texts.end(), std::string());
  if (absl::Status status = CutChunks(options, built, report); !status.ok()) return status;

  absl::StatusOr<TokenizedItems> tokenized = TokenizeItems(source.texts, tokenizer, options.max_text_length, options.threads,
                                                           [&](size_t done) { progress.on_items(done, source.texts.size()); });
  if (!tokenized.ok()) return tokenized.status();
  built.token_offsets = std::move(tokenized->offsets);
  built.tokens = std::move(tokenized->tokens);
  report.tokens = static_cast<int64_t>(built.tokens.size());
  report.truncated_items = tokenized->truncated;
  return built;
}

}  // namespace pixelrec::data
