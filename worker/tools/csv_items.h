// Items and their texts from a CSV, tokenised for a trained model as PREPARE would (rules X1-X4, W6, W13).
//
// Threads: one; tokenises on threads of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::tools {

struct CsvItemsOptions {
  std::filesystem::path text_data;  // columns item_id and one per text key
  std::vector<std::string> text_keys;
  std::string item_prompt;
  int max_text_length = 256;
  int threads = 1;
};

struct CsvItems {
  std::vector<std::string> ids;               // in order of first appearance; of equal ids the last row's text counts
  std::vector<std::vector<uint32_t>> tokens;  // [ids], cut to the first max_text_length
  int64_t truncated = 0;
};

// Errors as data::Prepare's of the text file; INVALID_ARGUMENT also if it has no items.
absl::StatusOr<CsvItems> ReadCsvItems(const CsvItemsOptions& options, const tokenizer::Tokenizer& tokenizer);

}  // namespace pixelrec::tools
