// The source CSV files, row by row: names numbered, events collected, item texts tokenised on the way. Keeps no text.
//
// Threads: one; texts are tokenised on PrepareOptions::threads.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/data/histories.h"
#include "worker/data/item_texts.h"
#include "worker/data/name_table.h"
#include "worker/data/prepare.h"
#include "worker/data/source_file.h"

namespace pixelrec::data {

// Content hashes of the source files, as HashFile gives them.
struct SourceHashes {
  std::string interactions;
  std::string texts;
  std::string items;  // empty without item_data
};

// Numbers here are one below those of the dataset, where item 0 is padding.
struct Interactions {
  NameTable items;
  NameTable users;
  std::vector<Event> events;  // in file order
};

// What the text file had besides texts.
struct TextCounts {
  int64_t rows = 0;
  int64_t repeated_items = 0;                    // rows that replace an earlier row of the same item (X3)
  int64_t unknown_items = 0;                     // rows of items without interactions, left out unless cold_items
  std::vector<std::vector<bool>> field_missing;  // [text_keys][items]
};

// item_data first (rule D2), then the interactions. Errors as Prepare's.
absl::Status ReadInteractions(const PrepareOptions& options, const SourceHashes& hashes, const OnBytes& on_bytes,
                              Interactions& interactions);

// Adds cold items to `items` (rule W15). Finishes `texts`.
absl::Status ReadTexts(const PrepareOptions& options, const std::string& hash, const OnBytes& on_bytes, NameTable& items,
                       ItemTextCollector& texts, TextCounts& counts);

}  // namespace pixelrec::data
