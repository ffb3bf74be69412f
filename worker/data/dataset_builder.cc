#include "worker/data/dataset_builder.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/data/common_prefix.h"
#include "worker/data/item_texts.h"

namespace pixelrec::data {
namespace {

constexpr uint64_t kMinEvents = 3;  // rule W7

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
    return absl::FailedPreconditionError(
        absl::StrCat(options.interaction_data.string(), ": a chunk of user \"", built.user_names[user], "\" holds all ",
                     built.train_items, " items, which leaves none to draw as a negative; lower max_seq_length or add items"));
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
  built.train_counts.assign(size_t{built.train_items} + 1, 0);
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

// For people to recognise an item by; cut between characters.
std::string Recognisable(absl::string_view text) {
  constexpr size_t kMost = 200;
  if (text.size() <= kMost) return std::string(text);
  size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), "...");
}

void FillStatistics(const PrepareOptions& options, const std::vector<uint32_t>& token_lengths, const TextCounts& counts,
                    BuiltDataset& built) {
  DatasetStatistics& statistics = built.statistics;
  const std::vector<uint32_t> best = Summarise({.token_lengths = token_lengths,
                                                .history_offsets = built.histories.offsets,
                                                .history = built.histories.items,
                                                .train_counts = built.train_counts},
                                               statistics);
  for (size_t i = 0; i < best.size(); ++i) {
    statistics.most_popular[i].name = Recognisable(built.item_names[best[i]]);
    statistics.most_popular[i].title = Recognisable(built.item_titles[best[i]]);
  }
  statistics.common_prefix = static_cast<int64_t>(CommonTokenPrefix(built.token_offsets, built.tokens));
  for (size_t key = 0; key < options.text_keys.size(); ++key) {
    const auto& missing = counts.field_missing[key];
    statistics.missing_fields.emplace_back(options.text_keys[key], std::count(missing.begin(), missing.end(), true));
  }
  statistics.text_rows = counts.rows;
  statistics.repeated_text_rows = counts.repeated_items;
  statistics.unknown_text_rows = counts.unknown_items;
}

// Everything that comes from the interactions. Events and user names are freed on return.
absl::Status BuildHistories(const PrepareOptions& options, const SourceHashes& hashes, const OnBytes& on_read, NameTable& items,
                            BuiltDataset& built, PrepareReport& report) {
  Interactions read;
  if (absl::Status status = ReadInteractions(options, hashes, on_read, read); !status.ok()) return status;
  report.interactions = static_cast<int64_t>(read.events.size());
  report.users = static_cast<int64_t>(read.users.size());
  built.train_items = static_cast<uint32_t>(read.items.size());
  built.histories = GroupByUser(std::move(read.events), static_cast<uint32_t>(read.users.size()));
  for (uint32_t& item : built.histories.items) ++item;
  for (uint32_t user : built.histories.users) built.user_names.Add(read.users.name(user));
  report.duplicate_interactions = CountDuplicates(built.histories);
  items = std::move(read.items);
  return CutChunks(options, built, report);
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
  BuiltDataset built;
  NameTable items;
  if (absl::Status status = BuildHistories(options, hashes, progress.on_read, items, built, report); !status.ok()) return status;
  std::vector<uint32_t> empty_text;
  if (options.compat.encode_empty_texts) {
    const absl::StatusOr<std::vector<int32_t>> ids = tokenizer.Encode("");
    if (!ids.ok()) return ids.status();
    empty_text.assign(ids->begin(), ids->begin() + std::min<ptrdiff_t>(std::ssize(*ids), options.max_text_length));
  }
  ItemTextCollector texts(tokenizer, options.max_text_length, options.threads, std::move(empty_text));
  TextCounts counts;
  if (absl::Status status = ReadTexts(options, hashes.texts, progress.on_texts, items, texts, counts); !status.ok())
    return status;
  built.train_counts.resize(items.size() + 1);  // cold items count 0
  for (absl::string_view name : items.names()) built.item_names.Add(name);
  texts.TakeTokens(items.size(), built.token_offsets, built.tokens);
  texts.TakeTitles(items.size(), built.item_titles.offsets, built.item_titles.bytes);
  const std::vector<uint32_t> lengths = texts.TakeLengths(items.size());
  report.items = static_cast<int64_t>(items.size());
  report.tokens = static_cast<int64_t>(built.tokens.size());
  report.items_without_text = std::count(lengths.begin(), lengths.end(), 0u);
  report.truncated_items = std::count_if(
      lengths.begin(), lengths.end(), [&](uint32_t length) { return length > static_cast<uint32_t>(options.max_text_length); });
  FillStatistics(options, lengths, counts, built);
  return built;
}

}  // namespace pixelrec::data
