#include "worker/train/disk_room.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pixelrec::train {
namespace {

using nlohmann::json;

constexpr uint64_t kMargin = 1 << 20;          // manifest, directories, the event log meanwhile
constexpr uint64_t kHeaderBytesOfEntry = 256;  // name, shape, offsets and piece

std::string MiB(uint64_t bytes) { return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20)); }

}  // namespace

uint64_t ShardBytes(const Session& s) {
  uint64_t bytes = kMargin;
  for (const auto& [name, range] : s.parameters->ranges()) {
    const bool mine = range.replicated ? s.is_rank_zero() : range.numel > 0;
    if (mine) bytes += 3 * (static_cast<uint64_t>(range.numel) * sizeof(float) + kHeaderBytesOfEntry);
  }
  return bytes;
}

absl::Status CheckRoomForCheckpoint(const Session& s) {
  const auto free = s.job.files->FreeBytes(s.job.output_dir);
  const json mine = {{"free", free.ok() ? *free : std::numeric_limits<uint64_t>::max()}, {"needed", ShardBytes(s)}};
  uint64_t least_free = std::numeric_limits<uint64_t>::max(), needed = 0;
  for (const std::string& text : s.group.AllGatherText(mine.dump())) {
    const json rank = json::parse(text);
    least_free = std::min(least_free, rank["free"].get<uint64_t>());
    needed += rank["needed"].get<uint64_t>();
  }
  if (needed <= least_free) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("room for ", MiB(least_free), " in ", s.job.output_dir.string(), ", a checkpoint needs ", MiB(needed)));
}

}  // namespace pixelrec::train
