// Which paths of a job this worker may touch: those under the configured roots, whatever links lie on the way
// (common/storage/contained_path.h).
//
// Threads: any; looks at the file system.
#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "pixelrec/v1/job.pb.h"
#include "pixelrec/v1/trainer_channel.pb.h"

namespace pixelrec::agent {

class AllowedPaths {
 public:
  // No roots: every absolute path of a file or folder is allowed, but none in /proc and /sys.
  explicit AllowedPaths(std::vector<std::filesystem::path> roots) : roots_(std::move(roots)) {}

  // PERMISSION_DENIED: outside the roots. INVALID_ARGUMENT: not absolute, or with "..". The path need not exist.
  absl::Status Check(const std::filesystem::path& path) const;
  // Every path that the trainer of this plan would open; the message names the field.
  absl::Status CheckPlan(const v1::TrainerPlan& plan) const;
  absl::Status CheckArtifact(const v1::Artifact& artifact) const;
  // Also refuses what is not a recovery checkpoint (.../recovery/step-N): this path is removed with all that is in it.
  absl::Status CheckReap(const std::filesystem::path& path) const;

 private:
  const std::vector<std::filesystem::path> roots_;
};

}  // namespace pixelrec::agent
