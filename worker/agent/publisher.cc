#include "worker/agent/publisher.h"

#include <chrono>
#include <filesystem>

#include "common/storage/atomic_file.h"

namespace pixelrec::agent {

Publication Publish(const v1::CommitArtifact& order, const AllowedPaths& allowed, storage::FileSystem& files) {
  const auto begin = std::chrono::steady_clock::now();
  Publication publication;
  publication.status = allowed.CheckArtifact(order.artifact());
  if (publication.status.ok()) {
    // recovery/ is made with the first checkpoint in it.
    const std::filesystem::path folder = std::filesystem::path(order.artifact().path()).parent_path();
    if (!files.Exists(folder)) publication.status = storage::CreateFolders(folder.parent_path(), folder, files);
  }
  if (publication.status.ok()) {
    publication.status = storage::PublishDirectory(order.artifact().staging_path(), order.artifact().path(), files);
  }
  publication.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!publication.status.ok()) return publication;
  for (const std::string& path : order.reap()) {
    if (absl::Status status = allowed.CheckReap(path); !status.ok()) {
      publication.complaints.emplace_back(status.message());
      continue;
    }
    if (absl::Status status = storage::RemoveDirectory(path, files); !status.ok())
      publication.complaints.emplace_back(status.message());
  }
  return publication;
}

void FailedOrders::Add(const v1::CommitArtifact& order) {
  auto& [generation, paths] = paths_[order.job_id()];
  if (generation != order.generation()) paths.clear();
  generation = order.generation();
  paths.insert(order.artifact().path());
}

bool FailedOrders::Contains(const v1::CommitArtifact& order) const {
  const auto found = paths_.find(order.job_id());
  return found != paths_.end() && found->second.first == order.generation() &&
         found->second.second.contains(order.artifact().path());
}

v1::Failure PublishFailure(const absl::Status& status) {
  v1::Failure failure;
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      failure.set_cause(v1::FAILURE_CAUSE_DISK_FULL);
      failure.set_hint("free space on the volume of output_dir");
      break;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
      failure.set_cause(v1::FAILURE_CAUSE_OUTPUT_UNWRITABLE);
      failure.set_hint("output_dir must be one writable file system on every worker");
      break;
    case absl::StatusCode::kNotFound:
      failure.set_cause(v1::FAILURE_CAUSE_OUTPUT_UNWRITABLE);
      failure.set_hint("something removed it, or output_dir is not the same folder on every worker");
      break;
    default:
      failure.set_cause(v1::FAILURE_CAUSE_INTERNAL);
      break;
  }
  failure.set_message(std::string(status.message()));
  return failure;
}

std::string CheckpointFailureReason(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return "disk_full";
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
      return "unwritable";
    case absl::StatusCode::kNotFound:
      return "missing";
    default:
      return "other";
  }
}

}  // namespace pixelrec::agent
