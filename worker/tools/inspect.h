// pixelrec-trainer inspect: what lies under a path, as a table or JSON.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace pixelrec::tools {

struct InspectOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  std::string path;
  std::string format = "table";
};

std::unique_ptr<InspectOptions> AddInspect(CLI::App& app);
// Exit code: 0, 3 (nothing there), 1 (damaged, or something else).
int RunInspect(const InspectOptions& options);

}  // namespace pixelrec::tools
