// pixelrec-trainer encode: embeddings of items, as .npy with an id file, ready for a nearest-neighbour index. The items are those
// of a CSV of texts, or all of a prepared dataset.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pixelrec::tools {

struct EncodeOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  std::string model;
  std::string text_data;  // this or `dataset`
  std::string dataset;
  std::string out;
  // Of the texts of text_data; absent, empty or 0: as the model was trained.
  std::vector<std::string> text_keys;
  std::optional<std::string> item_prompt;
  int max_text_length = 0;
  int threads = 0;
};

std::unique_ptr<EncodeOptions> AddEncode(CLI::App& app);
// Writes OUT/item_embeddings.npy (fp32 [items, H], not normalised) and OUT/item_ids.txt (one id a line, same order).
// Exit code: 0, 3 (no such model, dataset or file), 2 (usage), 1.
int RunEncode(const EncodeOptions& options);

}  // namespace pixelrec::tools
