// Item texts: from the text file's columns to one string per item, and from there to token ids (rules X1-X4, W6, W13).
//
// Threads: ItemTexts by one thread; TokenizeItems starts its own.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {

// "PROMPTkey: valuekey: value" (rule X1); a field counts as missing only if it is empty (W6).
std::string ItemText(absl::string_view prompt, const std::vector<std::string>& keys, std::span<const absl::string_view> values);

// The values that are not empty, joined with " | ", for people to read.
std::string ItemTitle(std::span<const absl::string_view> values);

struct TokenizedItems {
  std::vector<uint64_t> offsets;  // [items + 1]
  std::vector<uint32_t> tokens;
  int64_t truncated = 0;  // items cut at max_length
};

// Each text's ids, cut to the first `max_length` (X4); an empty text has none, not even BOS (W13). The result doesn't depend on
// `threads`. `on_items` is called on the calling thread with the number of items done so far. INVALID_ARGUMENT: a text is not
// UTF-8.
absl::StatusOr<TokenizedItems> TokenizeItems(const std::vector<std::string>& texts, const tokenizer::Tokenizer& tokenizer,
                                             int max_length, int threads, const std::function<void(size_t)>& on_items);

}  // namespace pixelrec::data
