// CSV rows -> the content of a dataset, in memory: vocabulary, histories, chunks, texts, tokens. Reads files, writes none.
//
// Threads: one; BuildDataset tokenises on Options::threads of its own.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/dataset_writer.h"
#include "worker/data/histories.h"
#include "worker/data/prepare.h"
#include "worker/data/report/statistics.h"
#include "worker/data/sources.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {

// Names end to end.
struct TextColumn {
  std::vector<uint64_t> offsets = {0};
  std::vector<char> bytes;
  void Add(absl::string_view text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    offsets.push_back(bytes.size());
  }
  absl::string_view operator[](size_t row) const { return {bytes.data() + offsets[row], offsets[row + 1] - offsets[row]}; }
};

struct BuiltDataset {
  uint32_t train_items = 0;
  Histories histories;
  std::vector<Sample> samples;
  std::vector<uint32_t> eval_users;
  std::vector<uint32_t> train_counts;
  std::vector<uint64_t> token_offsets;
  std::vector<uint32_t> tokens;
  TextColumn item_names;
  TextColumn item_titles;
  TextColumn user_names;
  DatasetStatistics statistics;

  // Spans over this object, which must stay where it is.
  DatasetContent Content(const PrepareOptions& options, const std::string& data_hash, int32_t vocab_size) const;
};

struct BuildProgress {
  OnBytes on_read;   // of the interactions and item_data
  OnBytes on_texts;  // of the text file, whose rows are tokenised as they are read
};

// Fills the counts of `report`. Errors as Prepare's.
absl::StatusOr<BuiltDataset> BuildDataset(const PrepareOptions& options, const SourceHashes& hashes,
                                          const tokenizer::Tokenizer& tokenizer, const BuildProgress& progress,
                                          PrepareReport& report);

}  // namespace pixelrec::data
