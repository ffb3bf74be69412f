// pixelrec-trainer generate-dataset: PixelRec-shaped synthetic CSV files. Run by `pixelrecctl dataset generate`.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "worker/data/synthetic/generator.h"

namespace pixelrec::tools {

struct GenerateDatasetOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  data::SyntheticOptions synthetic;
};

std::unique_ptr<GenerateDatasetOptions> AddGenerateDataset(CLI::App& app);
// Exit code: 0, 2 (sizes out of range, files in the way), 1.
int RunGenerateDataset(const GenerateDatasetOptions& options);

}  // namespace pixelrec::tools
