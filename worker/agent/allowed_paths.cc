#include "worker/agent/allowed_paths.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;

// With links resolved as far as the path exists, and ".." taken out.
fs::path RealPath(const fs::path& path) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(path, error);
  if (error) real = path.lexically_normal();
  return real.has_filename() ? real : real.parent_path();
}

bool IsUnder(const fs::path& path, const fs::path& root) {
  const auto [root_end, path_at] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return root_end == root.end();
}

}  // namespace

AllowedPaths::AllowedPaths(std::vector<fs::path> roots) {
  for (const fs::path& root : roots) roots_.push_back(RealPath(root));
}

absl::Status AllowedPaths::Check(const fs::path& path) const {
  if (!path.is_absolute()) return absl::InvalidArgumentError(absl::StrCat("'", path.string(), "' is not an absolute path"));
  if (roots_.empty()) return absl::OkStatus();
  const fs::path real = RealPath(path);
  if (std::any_of(roots_.begin(), roots_.end(), [&](const fs::path& root) { return IsUnder(real, root); }))
    return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(path.string(), " lies outside this worker's roots (",
                   absl::StrJoin(roots_, ", ", [](std::string* out, const fs::path& root) { out->append(root.string()); }),
                   "); move it there, or add its folder to roots in worker.yaml"));
}

absl::Status AllowedPaths::CheckPlan(const v1::TrainerPlan& plan) const {
  const v1::JobSpec& spec = plan.spec();
  const std::pair<const char*, std::string> fields[] = {
      {"spec.data.interaction_data", spec.data().interaction_data()},
      {"spec.data.text_data", spec.data().text_data()},
      {"spec.data.item_data", spec.data().item_data()},
      {"spec.model.item_model_dir", spec.model().item_model_dir()},
      {"spec.model.user_model_dir", spec.model().user_model_dir()},
      {"spec.model.init_from", spec.model().init_from()},
      {"spec.output_dir", spec.output_dir()},
      {"resume_from.path", plan.resume_from().path()},
  };
  for (const auto& [name, path] : fields) {
    if (path.empty()) continue;
    if (absl::Status status = Check(path); !status.ok())
      return absl::Status(status.code(), absl::StrCat(name, ": ", std::string(status.message())));
  }
  return absl::OkStatus();
}

absl::Status AllowedPaths::CheckArtifact(const v1::Artifact& artifact) const {
  absl::Status status = Check(artifact.staging_path());
  return status.ok() ? Check(artifact.path()) : status;
}

absl::Status AllowedPaths::CheckReap(const fs::path& path) const {
  const fs::path normal = path.lexically_normal();
  if (normal.parent_path().filename() != "recovery" || !absl::StartsWith(normal.filename().string(), "step-")) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), " is not a recovery checkpoint (.../recovery/step-N) and stays"));
  }
  return Check(normal);
}

}  // namespace pixelrec::agent
