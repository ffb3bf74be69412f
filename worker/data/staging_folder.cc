#include "worker/data/staging_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::data {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = ".preparing-";

storage::UniqueFd LockFolder(const fs::path& folder) {
  storage::UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid() && flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

// Whoever holds a folder's lock may remove it. Failures don't matter: the next sweep tries again.
void SweepAbandoned(const fs::path& cache_dir) {
  std::error_code error;
  for (fs::directory_iterator it(cache_dir, error), end; !error && it != end; it.increment(error)) {
    if (!absl::StartsWith(it->path().filename().string(), kPrefix)) continue;
    const storage::UniqueFd lock = LockFolder(it->path());
    std::error_code ignored;
    if (lock.valid()) fs::remove_all(it->path(), ignored);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<StagingFolder>> StagingFolder::Create(const fs::path& cache_dir, const std::string& name) {
  std::error_code error;
  fs::create_directories(cache_dir, error);
  if (error) return storage::ErrnoStatus(error.value(), "can't create the dataset cache", cache_dir);
  SweepAbandoned(cache_dir);
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string pattern = (cache_dir / absl::StrCat(kPrefix, name, "-XXXXXX")).string();
    if (mkdtemp(pattern.data()) == nullptr) return storage::ErrnoStatus(errno, "can't create a folder in", cache_dir);
    storage::UniqueFd lock = LockFolder(pattern);
    struct stat info;
    // Another process's sweep may have taken the folder before it was locked.
    if (!lock.valid() || stat(pattern.c_str(), &info) != 0) continue;
    if (chmod(pattern.c_str(), 0755) != 0) return storage::ErrnoStatus(errno, "can't change the mode of", pattern);
    return std::unique_ptr<StagingFolder>(new StagingFolder(pattern, std::move(lock)));
  }
  return absl::UnavailableError(
      absl::StrCat(cache_dir.string(), ": other processes keep removing the folder that is being prepared"));
}

StagingFolder::~StagingFolder() {
  if (published_) return;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

absl::StatusOr<storage::UniqueFd> LockForPublishing(const fs::path& cache_dir) {
  storage::UniqueFd fd(open(cache_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int locked = -1;
  do {
    locked = fd.valid() ? flock(fd.get(), LOCK_EX) : -1;
  } while (fd.valid() && locked != 0 && errno == EINTR);
  if (locked != 0) return storage::ErrnoStatus(errno, "can't lock the dataset cache", cache_dir);
  return fd;
}

absl::Status StagingFolder::Publish(const fs::path& final_path) {
  if (absl::Status status = storage::SyncPath(path_); !status.ok()) return status;
  absl::Status status = storage::PublishDirectory(path_, final_path);
  published_ = status.ok();
  return status;
}

}  // namespace pixelrec::data
