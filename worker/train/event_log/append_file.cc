#include "worker/train/event_log/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "common/storage/atomic_file.h"

namespace pixelrec::train {

absl::StatusOr<std::unique_ptr<AppendFile>> AppendFile::Open(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return storage::ErrnoStatus(error.value(), "cannot create", path.parent_path());
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return storage::ErrnoStatus(errno, "cannot open", path);
  return std::unique_ptr<AppendFile>(new AppendFile(path, fd));
}

AppendFile::AppendFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

AppendFile::~AppendFile() { ::close(fd_); }

absl::Status AppendFile::Append(absl::string_view bytes) {
  struct stat before;
  if (::fstat(fd_, &before) != 0) return storage::ErrnoStatus(errno, "cannot write", path_);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const absl::Status failure = storage::ErrnoStatus(errno, "cannot write", path_);
      Truncate(before.st_size).IgnoreError();
      return failure;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status AppendFile::Truncate(int64_t bytes) {
  return ::ftruncate(fd_, bytes) == 0 ? absl::OkStatus() : storage::ErrnoStatus(errno, "cannot shorten", path_);
}

absl::Status AppendFile::Sync() {
  return ::fsync(fd_) == 0 ? absl::OkStatus() : storage::ErrnoStatus(errno, "cannot sync", path_);
}

}  // namespace pixelrec::train
