// A folder that a dataset is written to before it is published: hidden, of this process alone, and swept away by the next Prepare
// if this process dies.
//
// Threads: one.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::data {

class StagingFolder {
 public:
  // Makes <cache_dir>/.preparing-<name>-<unique>, after removing those of dead processes (their lock is gone with them).
  static absl::StatusOr<std::unique_ptr<StagingFolder>> Create(const std::filesystem::path& cache_dir, const std::string& name);
  // Removes the folder unless it was published.
  ~StagingFolder();

  const std::filesystem::path& path() const { return path_; }

  // The folder becomes `final_path`, whole. An existing folder there is replaced.
  absl::Status Publish(const std::filesystem::path& final_path);

 private:
  StagingFolder(std::filesystem::path path, storage::UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  const std::filesystem::path path_;
  storage::UniqueFd lock_;  // flock on the folder itself
  bool published_ = false;
};

// Held while a process looks whether another one has published the same folder, and publishes its own if not: of several that
// prepare the same data at once, the first one's folder stays. Released with the descriptor.
absl::StatusOr<storage::UniqueFd> LockForPublishing(const std::filesystem::path& cache_dir);

}  // namespace pixelrec::data
