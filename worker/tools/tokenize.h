// pixelrec-trainer tokenize: lines of text -> token ids, as PREPARE would make them (rule X4), not cut.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace pixelrec::tools {

struct TokenizeOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  std::string model;
  std::string file;  // empty: standard input
  std::string format = "ids";
};

std::unique_ptr<TokenizeOptions> AddTokenize(CLI::App& app);
// Prints a line for each line. Exit code: 0, 3 (no such model or file), 1.
int RunTokenize(const TokenizeOptions& options);

}  // namespace pixelrec::tools
