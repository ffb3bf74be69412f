#include "worker/train/committed_checkpoint.h"

#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/checkpoint/digest.h"
#include "worker/train/failure.h"

namespace pixelrec::train {
namespace {

using nlohmann::json;

// What one rank found.
struct Finding {
  bool there = false;
  absl::Status status;
};

// A whole folder of other content, such as an older copy, verifies; its manifest isn't the one that was committed.
absl::Status CheckIdentity(const Session& s) {
  if (s.job.resume_digest.empty()) return absl::OkStatus();
  auto digest = checkpoint::DigestFile(s.job.resume_from / checkpoint::kManifestFile);
  if (!digest.ok()) return digest.status();
  if (digest->xxh3 == s.job.resume_digest) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat((s.job.resume_from / checkpoint::kManifestFile).string(), ": its xxh3 is ",
                                          digest->xxh3, ", ", s.job.resume_digest, " was committed"));
}

std::string ToText(const Finding& finding) {
  return json{{"there", finding.there}, {"code", finding.status.raw_code()}, {"message", std::string(finding.status.message())}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Finding FromText(const std::string& text) {
  const json finding = json::parse(text);
  return {finding["there"],
          absl::Status(static_cast<absl::StatusCode>(finding["code"].get<int>()), finding["message"].get<std::string>())};
}

absl::Status Judge(const std::string& path, size_t rank, const absl::Status& status) {
  const std::string message = absl::StrCat("checkpoint ", path, ": rank ", rank, ": ", std::string(status.message()));
  switch (status.code()) {
    case absl::StatusCode::kUnimplemented:
      return WithKind(absl::UnimplementedError(message), FailureKind::kBadData,
                      "run the program version that wrote it, or give the job an output_dir of its own");
    case absl::StatusCode::kPermissionDenied:
      return WithKind(absl::PermissionDeniedError(message), FailureKind::kOutputUnwritable,
                      "make output_dir readable for the worker's user");
    case absl::StatusCode::kResourceExhausted:  // open files, not the disk
      return WithKind(status, FailureKind::kInternal);
    default:
      return WithKind(absl::DataLossError(absl::StrCat(message, "; it is damaged")), FailureKind::kCheckpointDamaged,
                      "the checkpoint before it is used, if there is one");
  }
}

// The same verdict on every rank.
absl::Status Judge(const std::string& path, const std::vector<Finding>& findings) {
  int there = -1, missing = -1;
  for (size_t rank = 0; rank < findings.size(); ++rank) (findings[rank].there ? there : missing) = static_cast<int>(rank);
  if (there >= 0 && missing >= 0) {
    return WithKind(absl::FailedPreconditionError(absl::StrCat("rank ", missing, " doesn't find ", path, ", rank ", there,
                                                               " does: output_dir is not one folder on all workers")),
                    FailureKind::kOutputUnwritable, "put output_dir on a file system that every worker mounts at the same path");
  }
  for (size_t rank = 0; rank < findings.size(); ++rank) {
    if (!findings[rank].status.ok()) return Judge(path, rank, findings[rank].status);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<checkpoint::OpenedCheckpoint> OpenCommittedCheckpoint(const Session& s) {
  auto opened = checkpoint::OpenCheckpoint(s.job.resume_from);
  std::error_code ignored;
  Finding mine{std::filesystem::exists(s.job.resume_from, ignored), opened.status()};
  if (mine.status.ok()) mine.status = CheckIdentity(s);
  std::vector<Finding> findings;
  for (const std::string& text : s.group.AllGatherText(ToText(mine))) findings.push_back(FromText(text));
  if (auto status = Judge(s.job.resume_from.string(), findings); !status.ok()) return status;
  return opened;
}

}  // namespace pixelrec::train
