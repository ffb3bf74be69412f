// Flags of pixelrec-coordinator, over coordinator.yaml.
#pragma once

#include <filesystem>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/daemon_config.h"

namespace pixelrec::coordinator {

struct Settings {
  config::CoordinatorConfig config;
  std::filesystem::path ready_file;  // empty: none
};

// Nothing: --help or --version was asked for and printed. INVALID_ARGUMENT: bad flags (exit code 2); anything else: the file is
// refused.
absl::StatusOr<std::optional<Settings>> ParseCommandLine(int argc, const char* const* argv);

// Prints "error: ..." and returns the exit code: 2 usage, 4 refused configuration, 6 unavailable or in use, 1 anything else.
int ReportError(const absl::Status& status);

}  // namespace pixelrec::coordinator
