#include "worker/train/output_folder.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/manifest.h"
#include "worker/train/failure.h"

namespace pixelrec::train {
namespace {

constexpr char kOwnerFile[] = "job.json";

bool IsResult(const std::string& name) {
  return absl::StartsWith(name, "checkpoint-epoch-") || name == "best_model" || name == "recovery" || name == "logs" ||
         name == ".staging" || name == kOwnerFile;
}

// Only what this program writes: other files in the folder are the user's.
std::vector<std::filesystem::path> Results(const std::filesystem::path& output_dir) {
  std::vector<std::filesystem::path> results;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(output_dir, ignored)) {
    if (IsResult(entry.path().filename())) results.push_back(entry.path());
  }
  return results;
}

// Empty if there is no readable owner.
std::string OwnerOf(const std::filesystem::path& output_dir) {
  auto text = storage::ReadFile(output_dir / kOwnerFile);
  if (!text.ok()) return "";
  const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains("job_id") && json["job_id"].is_string() ? json["job_id"].get<std::string>() : "";
}

absl::Status RemoveResults(const std::filesystem::path& output_dir, OutputClaim& claim) {
  int64_t removed = 0;
  for (const auto& path : Results(output_dir)) {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) return storage::ErrnoStatus(error.value(), "can't remove earlier results", path);
    ++removed;
  }
  claim.notices.push_back(
      absl::StrCat("output_policy: replace removed ", removed, " earlier results from ", output_dir.string()));
  return absl::OkStatus();
}

absl::Status FindResumePoint(const std::filesystem::path& output_dir, OutputClaim& claim) {
  auto search = checkpoint::FindNewestCheckpoint(output_dir);
  if (!search.ok()) return search.status();
  for (const std::string& skipped : search->skipped) claim.notices.push_back(absl::StrCat("checkpoint not used: ", skipped));
  if (search->newest) {
    claim.resume_from = search->newest->path;
  } else {
    claim.notices.push_back(
        absl::StrCat("output_policy: resume found no checkpoint in ", output_dir.string(), ": training starts at step 0"));
  }
  return absl::OkStatus();
}

absl::Status Claim(const std::filesystem::path& output_dir, const std::string& job_id, OutputPolicy policy, OutputClaim& claim) {
  std::error_code error;
  std::filesystem::create_directories(output_dir, error);
  if (error) return storage::ErrnoStatus(error.value(), "can't create output_dir", output_dir);
  const std::string owner = OwnerOf(output_dir);
  // A former generation's folder. With `resume` it may hold nothing but the checkpoints that the job itself went on from, of
  // which the coordinator knows nothing.
  if (owner == job_id) return policy == OutputPolicy::kResume ? FindResumePoint(output_dir, claim) : absl::OkStatus();
  if (!Results(output_dir).empty()) {
    if (policy == OutputPolicy::kNew) {
      return absl::AlreadyExistsError(
          absl::StrCat(output_dir.string(), " holds results of ", owner.empty() ? "another job" : absl::StrCat("job ", owner)));
    }
    if (auto status = policy == OutputPolicy::kReplace ? RemoveResults(output_dir, claim) : FindResumePoint(output_dir, claim);
        !status.ok()) {
      return status;
    }
  }
  return storage::WriteFileAtomically(output_dir / kOwnerFile, nlohmann::json({{"job_id", job_id}}).dump() + "\n");
}

}  // namespace

absl::StatusOr<OutputClaim> ClaimOutputFolder(const std::filesystem::path& output_dir, const std::string& job_id,
                                              OutputPolicy policy) {
  OutputClaim claim;
  const absl::Status status = Claim(output_dir, job_id, policy, claim);
  if (status.ok()) return claim;
  if (absl::IsAlreadyExists(status)) {
    return WithKind(
        status, FailureKind::kOutputUnwritable,
        "give the job an output_dir of its own, or set output_policy: replace (removes them) or resume (goes on from them)");
  }
  return WithKind(status, absl::IsResourceExhausted(status) ? FailureKind::kDiskFull : FailureKind::kOutputUnwritable,
                  "make output_dir writable for the worker's user");
}

}  // namespace pixelrec::train
