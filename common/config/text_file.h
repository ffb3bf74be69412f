// Reading a configuration file that a user named: never more of it than a configuration can be.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace pixelrec::config {

// At most YamlTree::kMaxBytes + 1 bytes, so that a larger file is refused by the parser without being read whole.
// NOT_FOUND: no such file. INVALID_ARGUMENT: not a regular file or pipe. PERMISSION_DENIED: may not be read.
absl::StatusOr<std::string> ReadTextFile(const std::filesystem::path& file);

}  // namespace pixelrec::config
