#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "common/storage/filesystem.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::storage {
namespace {

namespace fs = std::filesystem;

class RealFile : public WritableFile {
 public:
  RealFile(fs::path path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::Status Append(absl::Span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoStatus(errno, "cannot write", path_);
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::Status SyncAndClose() override {
    if (fsync(fd_.get()) != 0) return ErrnoStatus(errno, "cannot sync", path_);
    // Some file systems (NFS, FUSE) report a failed write only here.
    if (close(fd_.release()) != 0) return ErrnoStatus(errno, "cannot close", path_);
    return absl::OkStatus();
  }

 private:
  fs::path path_;
  UniqueFd fd_;
};

class RealDisk : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const fs::path& path, Existing existing) override {
    const int how = existing == Existing::kRefuse ? O_EXCL : O_TRUNC;
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | how, 0644));
    if (!fd.valid()) return ErrnoStatus(errno, "cannot create", path);
    return std::make_unique<RealFile>(path, std::move(fd));
  }

  absl::Status CreateFolder(const fs::path& path) override {
    return mkdir(path.c_str(), 0777) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "cannot create", path);
  }

  absl::Status SyncFolder(const fs::path& path) override { return SyncPath(path); }

  absl::Status Rename(const fs::path& from, const fs::path& to) override {
    return rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "cannot replace", to);
  }

  absl::Status RenameNew(const fs::path& from, const fs::path& to) override {
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, absl::StrCat("cannot rename ", from.string(), " to"), to);
  }

  absl::Status Exchange(const fs::path& a, const fs::path& b) override {
    if (renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, absl::StrCat("cannot exchange ", a.string(), " with"), b);
  }

  absl::Status RemoveFile(const fs::path& path) override {
    return unlink(path.c_str()) == 0 || errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "cannot remove", path);
  }

  absl::Status RemoveTree(const fs::path& path) override {
    std::error_code error;
    fs::remove_all(path, error);
    return error ? ErrnoStatus(error.value(), "cannot remove", path) : absl::OkStatus();
  }

  bool Exists(const fs::path& path) override {
    struct stat info;
    return lstat(path.c_str(), &info) == 0;
  }

  absl::StatusOr<uint64_t> FreeBytes(const fs::path& path) override {
    struct statvfs about;
    if (statvfs(path.c_str(), &about) != 0) return ErrnoStatus(errno, "cannot ask for the free space of", path);
    return uint64_t{about.f_bavail} * about.f_frsize;
  }
};

}  // namespace

FileSystem& RealFileSystem() {
  static auto* const disk = new RealDisk;
  return *disk;
}

}  // namespace pixelrec::storage
