#include "worker/checkpoint/deepspeed_files.h"

#include <charconv>
#include <optional>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "worker/checkpoint/json_file.h"

namespace pixelrec::checkpoint {
namespace {

constexpr char kZeroRank[] = "zero_pp_rank_", kModelRank[] = "mp_rank_00";
constexpr size_t kMaxLatestBytes = 4096;
constexpr int kMaxWorldSize = 1 << 20;

// "bf16_zero_pp_rank_12_mp_rank_00_optim_states.pt" -> 12; "mp_rank_00_model_states.pt" -> -1; nothing for other names.
std::optional<int> RankOf(absl::string_view name, absl::string_view ending) {
  if (!absl::ConsumeSuffix(&name, ending)) return std::nullopt;
  if (name == kModelRank) return -1;
  absl::ConsumePrefix(&name, "bf16_");
  if (!absl::ConsumePrefix(&name, kZeroRank)) return std::nullopt;
  int rank = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), rank);
  if (error != std::errc() || rank < 0 || rank >= kMaxWorldSize) return std::nullopt;
  return absl::StrCat("_", kModelRank) == absl::string_view(end, static_cast<size_t>(name.data() + name.size() - end))
             ? std::optional<int>(rank)
             : std::nullopt;
}

absl::StatusOr<std::filesystem::path> RefuseModelParallel(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (absl::StrContains(name, "mp_rank_") && !absl::StrContains(name, kModelRank))
      return absl::UnimplementedError(
          absl::StrCat(entry.path().string(), ": tensor or pipeline parallel checkpoints are not read"));
  }
  return folder;
}

}  // namespace

std::map<int, std::filesystem::path> DeepSpeedFilesByRank(const std::filesystem::path& folder, absl::string_view ending) {
  std::map<int, std::filesystem::path> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (const auto rank = RankOf(entry.path().filename().string(), ending)) files[*rank] = entry.path();
  }
  return files;
}

absl::StatusOr<std::filesystem::path> DeepSpeedTagFolder(const std::filesystem::path& dir) {
  if (!DeepSpeedFilesByRank(dir, kDeepSpeedModelStates).empty()) return RefuseModelParallel(dir);
  auto latest = ReadTextFile(dir / "latest", kMaxLatestBytes);
  if (!latest.ok())
    return absl::NotFoundError(
        absl::StrCat(dir.string(), ": not a DeepSpeed checkpoint: no *", kDeepSpeedModelStates, " and no file latest"));
  const absl::string_view tag = absl::StripAsciiWhitespace(*latest);
  if (tag.empty() || tag.front() == '.' || absl::StrContains(tag, "/") || absl::StrContains(tag, absl::string_view("\0", 1)))
    return absl::InvalidArgumentError(absl::StrCat((dir / "latest").string(), ": does not hold the plain name of a folder"));
  const std::filesystem::path folder = dir / std::string(tag);
  if (DeepSpeedFilesByRank(folder, kDeepSpeedModelStates).empty())
    return absl::NotFoundError(
        absl::StrCat(folder.string(), ": no *", kDeepSpeedModelStates, ", although ", (dir / "latest").string(), " names it"));
  return RefuseModelParallel(folder);
}

bool IsDeepSpeedCheckpoint(const std::filesystem::path& dir) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(dir / "latest", ignored) || !DeepSpeedFilesByRank(dir, kDeepSpeedModelStates).empty();
}

}  // namespace pixelrec::checkpoint
