// pixelrec-trainer encode: embeddings of all items of a prepared dataset, as .npy with an id file, ready for a nearest-neighbour
// index.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace pixelrec::tools {

struct EncodeOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  std::string model;
  std::string dataset;
  std::string out;
  int threads = 0;
};

std::unique_ptr<EncodeOptions> AddEncode(CLI::App& app);
// Writes OUT/item_embeddings.npy (fp32 [items, H], not normalised) and OUT/item_ids.txt (one id a line, same order).
int RunEncode(const EncodeOptions& options);

}  // namespace pixelrec::tools
