#include "worker/agent/allowed_paths.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/spec_paths.h"
#include "common/storage/contained_path.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;

absl::Status At(absl::string_view field, const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat(field, ": ", std::string(status.message())));
}

}  // namespace

absl::Status AllowedPaths::Check(const fs::path& path) const {
  const absl::Status status = storage::CheckContained(path, roots_);
  if (!absl::IsPermissionDenied(status) || roots_.empty()) return status;
  return absl::PermissionDeniedError(
      absl::StrCat(std::string(status.message()), "; move it there, or add its folder to roots in worker.yaml"));
}

absl::Status AllowedPaths::CheckPlan(const v1::TrainerPlan& plan) const {
  for (const config::NamedPath& named : config::PathsOf(plan.spec())) {
    if (absl::Status status = At(named.field->path, Check(named.path)); !status.ok()) return status;
  }
  const std::string& resumed = plan.resume_from().path();
  return resumed.empty() ? absl::OkStatus() : At("resume_from.path", Check(resumed));
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
