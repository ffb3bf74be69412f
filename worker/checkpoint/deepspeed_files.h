// Where DeepSpeed's save_checkpoint puts what: <dir>/latest names the tag, <dir>/<tag>/ holds one file of each kind per rank.
//
// Threads: pure functions of the file system.
#pragma once

#include <filesystem>
#include <map>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::checkpoint {

inline constexpr char kDeepSpeedModelStates[] = "_model_states.pt";
inline constexpr char kDeepSpeedOptimStates[] = "_optim_states.pt";

// Files with this ending in numeric order of their data-parallel ranks; -1: mp_rank_00_model_states.pt, which has none.
std::map<int, std::filesystem::path> DeepSpeedFilesByRank(const std::filesystem::path& folder, absl::string_view ending);

// `dir` is what save_checkpoint was given, or the tag's folder -> the tag's folder. NOT_FOUND: no such files. INVALID_ARGUMENT:
// `latest` holds no plain name. UNIMPLEMENTED: files of tensor or pipeline parallel ranks.
absl::StatusOr<std::filesystem::path> DeepSpeedTagFolder(const std::filesystem::path& dir);

// Does `dir` look like one?
bool IsDeepSpeedCheckpoint(const std::filesystem::path& dir);

}  // namespace pixelrec::checkpoint
