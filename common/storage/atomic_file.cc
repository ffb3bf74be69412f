#include "common/storage/atomic_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::storage {
namespace {

namespace fs = std::filesystem;

// Writers of one path in one process or in several never share a temporary.
fs::path TemporaryBeside(const fs::path& path) {
  static std::atomic<uint64_t> counter{0};
  fs::path temporary = path;
  temporary += absl::StrCat(".tmp.", getpid(), ".", counter.fetch_add(1, std::memory_order_relaxed));
  return temporary;
}

fs::path ParentOf(const fs::path& path) {
  fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

// "dir/" and "dir" name the same entry for rename, but "dir/" has "dir" as its parent_path.
fs::path WithoutTrailingSlash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

absl::Status WriteAll(int fd, absl::string_view content, const fs::path& path) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "can't write", path);
    }
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteAndSync(const fs::path& path, absl::string_view content) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, "can't create", path);
  if (absl::Status status = WriteAll(fd.get(), content, path); !status.ok()) return status;
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "can't sync", path);
  // Some file systems (NFS, FUSE) report a failed write only here.
  if (close(fd.release()) != 0) return ErrnoStatus(errno, "can't close", path);
  return absl::OkStatus();
}

absl::Status RemoveTree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return ErrnoStatus(error.value(), "can't remove", path);
  return absl::OkStatus();
}

absl::Status SyncBothParents(const fs::path& from, const fs::path& to) {
  if (absl::Status status = SyncPath(ParentOf(to)); !status.ok()) return status;
  if (ParentOf(from) == ParentOf(to)) return absl::OkStatus();
  // The staging folder may itself be gone when a repeated publish gets here.
  absl::Status status = SyncPath(ParentOf(from));
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace

absl::Status WriteFileAtomically(const fs::path& path, absl::string_view content) {
  const fs::path temporary = TemporaryBeside(path);
  absl::Status status = WriteAndSync(temporary, content);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) status = ErrnoStatus(errno, "can't replace", path);
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncPath(ParentOf(path));
}

absl::Status SyncPath(const fs::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "can't open", path);
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "can't sync", path);
  return absl::OkStatus();
}

namespace {

// The published directory gets a mark before it is exchanged for its successor: a repeat after a crash between the exchange and
// the removal then sees that what lies under `from` is the old version, and doesn't exchange it back.
constexpr char kSupersededMark[] = ".superseded";

bool Exists(const fs::path& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

// `from` holds the old version. It leaves its name whole before it is removed, because a removal can stop half way.
absl::Status RemoveSuperseded(const fs::path& from, const fs::path& to) {
  fs::path doomed = from;
  doomed += kSupersededMark;
  if (Exists(from)) {
    if (absl::Status status = RemoveTree(doomed); !status.ok()) return status;
    if (rename(from.c_str(), doomed.c_str()) != 0) return ErrnoStatus(errno, "can't rename", from);
  }
  if (absl::Status status = SyncBothParents(from, to); !status.ok()) return status;
  return RemoveTree(doomed);
}

absl::Status ExchangeDirectories(const fs::path& from, const fs::path& to) {
  if (!Exists(from / kSupersededMark)) {
    if (absl::Status status = WriteFileAtomically(to / kSupersededMark, ""); !status.ok()) return status;
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
      return ErrnoStatus(errno, absl::StrCat("can't exchange ", from.string(), " with"), to);
    }
    if (absl::Status status = SyncBothParents(from, to); !status.ok()) return status;
  }
  return RemoveSuperseded(from, to);
}

}  // namespace

absl::Status PublishDirectory(const fs::path& from_path, const fs::path& to_path) {
  const fs::path from = WithoutTrailingSlash(from_path);
  const fs::path to = WithoutTrailingSlash(to_path);
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return SyncBothParents(from, to);
  const int error = errno;
  if (error == EEXIST) return ExchangeDirectories(from, to);
  if (error == ENOENT && !Exists(from) && Exists(to)) return RemoveSuperseded(from, to);  // published by an earlier call
  return ErrnoStatus(error, absl::StrCat("can't rename ", from.string(), " to"), to);
}

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "can't open", path);
  std::string content;
  struct stat info;
  if (fstat(fd.get(), &info) == 0 && info.st_size > 0) content.reserve(static_cast<size_t>(info.st_size) + 1);
  char buffer[64 << 10];
  for (;;) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got == 0) return content;
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "can't read", path);
    }
    content.append(buffer, static_cast<size_t>(got));
  }
}

}  // namespace pixelrec::storage
