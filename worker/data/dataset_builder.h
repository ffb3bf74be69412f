// CSV rows -> the content of a dataset, in memory: vocabulary, histories, chunks, texts, tokens. Reads files, writes none.
//
// Threads: one; BuildDataset tokenises on Options::threads of its own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/dataset_writer.h"
#include "worker/data/histories.h"
#include "worker/data/prepare.h"
#include "worker/data/source_file.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {

// Content hashes of the source files, as HashFile gives them.
struct SourceHashes {
  std::string interactions;
  std::string texts;
  std::string items;  // empty without item_data
};

// Names end to end.
struct TextColumn {
  std::vector<uint64_t> offsets = {0};
  std::vector<char> bytes;
  void Add(absl::string_view text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    offsets.push_back(bytes.size());
  }
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

  // Spans over this object, which must stay where it is.
  DatasetContent Content(const PrepareOptions& options, const std::string& data_hash, int32_t vocab_size) const;
};

struct BuildProgress {
  OnBytes on_bytes;                                       // of the CSV files
  std::function<void(size_t done, size_t all)> on_items;  // tokenised
};

// Fills the counts of `report`. Errors as Prepare's.
absl::StatusOr<BuiltDataset> BuildDataset(const PrepareOptions& options, const SourceHashes& hashes,
                                          const tokenizer::Tokenizer& tokenizer, const BuildProgress& progress,
                                          PrepareReport& report);

}  // namespace pixelrec::data
