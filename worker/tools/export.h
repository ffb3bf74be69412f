// pixelrec-trainer export: a trained HLLM, whoever wrote it, as Hugging Face directories, under the reference's names, or as the
// matrix of its item embeddings.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace pixelrec::tools {

struct ExportCommandOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  std::string source;
  std::string format;
  std::string out;
  std::string item_model_dir;
  std::string user_model_dir;
  std::string dataset;  // embeddings: whose items
  bool force = false;
  int threads = 0;
};

std::unique_ptr<ExportCommandOptions> AddExport(CLI::App& app);
// Exit code: 0, 2 (an option is missing), 3 (no such source, model or dataset), 1.
int RunExport(const ExportCommandOptions& options);

}  // namespace pixelrec::tools
