// CSV files -> prepared dataset: read once, tokenised once, stored under a name made of everything that decides its content,
// reused after.
//
// Threads: call from one thread; tokenises on Options::threads of its own. Two processes may prepare the same data at once: both
// write to folders of their own, the first rename wins and the other's work is dropped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/compat.h"

namespace pixelrec::data {

struct PrepareOptions {
  std::filesystem::path interaction_data;          // CSV, columns by header name (rule W6)
  std::filesystem::path text_data;                 // CSV, item_id and one column per text key
  std::optional<std::filesystem::path> item_data;  // rule D2
  std::vector<std::string> text_keys;
  std::string item_prompt;
  int max_text_length = 256;            // tokens per item
  int max_seq_length = 11;              // M
  bool data_split = true;               // rule D7, else D8
  bool cold_items = false;              // rule W15
  CompatRules compat;                   // those that act while preparing
  std::filesystem::path tokenizer_dir;  // the item model's directory
  std::filesystem::path cache_dir;      // prepared datasets lie at <cache_dir>/<hash>/
  int threads = 1;
  // Called on the calling thread a few times a second. section: "read", "tokenize", "write"; fraction 0-1 over all sections.
  std::function<void(const std::string& section, double fraction)> progress;
};

// What PREPARE found; counts as in events.proto's DatasetPrepared.
struct PrepareReport {
  std::string data_hash;       // hex
  std::filesystem::path path;  // <cache_dir>/<data_hash>
  bool reused = false;
  int64_t users = 0;  // all users of the file
  int64_t items = 0;  // without PAD
  int64_t interactions = 0;
  int64_t samples = 0;  // training chunks
  int64_t tokens = 0;   // of all items
  int64_t truncated_items = 0;
  int64_t items_without_text = 0;
  int64_t short_users = 0;     // fewer than three events (rule W7)
  int64_t dropped_chunks = 0;  // chunks of one item (rule W7)
  int64_t duplicate_interactions = 0;
  double seconds = 0;
};

// NOT_FOUND: a file is missing. INVALID_ARGUMENT: a file is refused; the message is "FILE:ROW: what is wrong and how to mend it"
// (row 1 is the header). FAILED_PRECONDITION: no training sample is left, or a chunk holds every item (rule W2).
// RESOURCE_EXHAUSTED: no space in cache_dir.
absl::StatusOr<PrepareReport> Prepare(const PrepareOptions& options);

}  // namespace pixelrec::data
