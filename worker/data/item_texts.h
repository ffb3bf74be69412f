// Item texts: from the text file's columns to one string per item, and from there to token ids (rules X1-X4, W6, W13).
//
// Threads: pure functions, and a collector for one thread; tokenising starts threads of its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/ragged_rows.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {

// "PROMPTkey: valuekey: value" (rule X1); a field counts as missing only if it is empty (W6).
std::string ItemText(absl::string_view prompt, const std::vector<std::string>& keys, std::span<const absl::string_view> values);

// The values that are not empty, joined with " | ", for people to read.
std::string ItemTitle(std::span<const absl::string_view> values);

// Ids of each text, not cut. An empty text has none, not even BOS (W13). The result doesn't depend on `threads`.
// INVALID_ARGUMENT: a text is not UTF-8.
absl::StatusOr<std::vector<std::vector<int32_t>>> TokenizeTexts(std::span<const std::string> texts,
                                                                const tokenizer::Tokenizer& tokenizer, int threads);

// Takes the text file row by row and keeps token ids and titles; the texts themselves live only until a batch of them is full.
class ItemTextCollector {
 public:
  // `empty_text`: the ids of an item without text; none (W13), or those of "" (X3).
  ItemTextCollector(const tokenizer::Tokenizer& tokenizer, int max_length, int threads, std::vector<uint32_t> empty_text = {})
      : tokenizer_(tokenizer),
        max_length_(static_cast<size_t>(max_length)),
        threads_(threads),
        empty_text_(std::move(empty_text)) {}

  // The last text of an item wins (X3). INVALID_ARGUMENT: see TokenizeTexts.
  absl::Status Add(uint32_t item, std::string text, absl::string_view title);
  // After the last Add, before the results.
  absl::Status Finish();

  // Results for items 0..items-1, each taken once. Tokens are cut to the first max_length (X4).
  void TakeTokens(size_t items, std::vector<uint64_t>& offsets, std::vector<uint32_t>& tokens);
  void TakeTitles(size_t items, std::vector<uint64_t>& offsets, std::vector<char>& bytes);
  // Tokens of each item's text before it was cut; 0 for an item without text.
  std::vector<uint32_t> TakeLengths(size_t items);

 private:
  const tokenizer::Tokenizer& tokenizer_;
  const size_t max_length_;
  const int threads_;
  const std::vector<uint32_t> empty_text_;

  std::vector<uint32_t> batch_items_;
  std::vector<std::string> batch_texts_;
  size_t batch_bytes_ = 0;

  RaggedRows<uint32_t> tokens_;
  RaggedRows<char> titles_;
  std::vector<uint32_t> lengths_;
};

}  // namespace pixelrec::data
