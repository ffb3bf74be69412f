// What a YAML scalar means: the core schema of YAML 1.2 (true, false, null, decimal numbers; everything else is a string).
// `yes`, `on`, `0x10`, `1_000` and `.inf` are strings here, so that a key that wants a number or a boolean refuses them.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "common/config/yaml_tree.h"
#include "nlohmann/json.hpp"

namespace pixelrec::config {

// Null, boolean, integer, number or string. Lists and maps read as an empty array or object.
nlohmann::json ReadScalar(const YamlNode& node);

// "500ms", "2s", "10m", "1h" -> milliseconds.
std::optional<int64_t> ReadDuration(absl::string_view text);

}  // namespace pixelrec::config
