// {"name": {"bytes": N, "xxh3": "..."}}: the list of files in a manifest and in hllm.json. Private to this folder.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/digest.h"

namespace pixelrec::checkpoint {

nlohmann::json FilesToJson(const std::map<std::string, FileDigest>& files);

// Reads document["files"]. Names are plain, or one folder deep ("item_llm/config.json"), and never lead out of the folder.
absl::StatusOr<std::map<std::string, FileDigest>> FilesFromJson(const nlohmann::json& document, absl::string_view file_name);

}  // namespace pixelrec::checkpoint
