#include "common/storage/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <vector>

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

absl::Status WriteAndSync(const fs::path& path, absl::string_view content, FileSystem& files) {
  auto file = files.Create(path, FileSystem::Existing::kRefuse);
  if (!file.ok()) return file.status();
  auto status = (*file)->Append(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(content.data()), content.size()));
  return status.ok() ? (*file)->SyncAndClose() : status;
}

// From `folder` up to `root`, both included; `folder` alone if `root` doesn't lie above it.
std::vector<fs::path> Upwards(const fs::path& folder, const fs::path& root) {
  std::vector<fs::path> folders = {folder};
  while (folders.back() != root) {
    const fs::path parent = folders.back().parent_path();
    if (parent.empty() || parent == folders.back()) return {folder};
    folders.push_back(parent);
  }
  return folders;
}

fs::path FolderOfBoth(const fs::path& a, const fs::path& b) {
  fs::path common;
  for (auto [x, y] = std::pair(a.begin(), b.begin()); x != a.end() && y != b.end() && *x == *y; ++x, ++y) common /= *x;
  return common;
}

// Of a rename between two folders, each of which may be new itself.
absl::Status SyncParents(const fs::path& from, const fs::path& to, FileSystem& files) {
  const fs::path root = FolderOfBoth(ParentOf(from), ParentOf(to));
  std::vector<fs::path> folders = Upwards(ParentOf(to), root);
  for (const fs::path& folder : folders) {
    if (auto status = files.SyncFolder(folder); !status.ok()) return status;
  }
  for (const fs::path& folder : Upwards(ParentOf(from), root)) {
    if (std::find(folders.begin(), folders.end(), folder) != folders.end()) continue;
    // The staging folder may itself be gone when a repeated publish gets here.
    if (auto status = files.SyncFolder(folder); !status.ok() && !absl::IsNotFound(status)) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteFileAtomically(const fs::path& path, absl::string_view content, FileSystem& files) {
  const fs::path temporary = TemporaryBeside(path);
  absl::Status status = WriteAndSync(temporary, content, files);
  if (status.ok()) status = files.Rename(temporary, path);
  if (!status.ok()) {
    (void)files.RemoveFile(temporary);
    return status;
  }
  return files.SyncFolder(ParentOf(path));
}

absl::Status CreateFolders(const fs::path& root, const fs::path& path, FileSystem& files) {
  const fs::path folder = WithoutTrailingSlash(path);
  std::vector<fs::path> missing;
  for (fs::path at = folder; !files.Exists(at) && at != ParentOf(at); at = ParentOf(at)) missing.push_back(at);
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    // Another rank may make it at the same time.
    if (auto status = files.CreateFolder(*at); !status.ok() && !absl::IsAlreadyExists(status)) return status;
  }
  for (const fs::path& at : Upwards(ParentOf(folder), WithoutTrailingSlash(root))) {
    if (auto status = files.SyncFolder(at); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SyncPath(const fs::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "cannot open", path);
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "cannot sync", path);
  return absl::OkStatus();
}

namespace {

// The published directory gets a mark before it is exchanged for its successor: a repeat after a crash between the exchange and
// the removal then sees that what lies under `from` is the old version, and doesn't exchange it back.
absl::Status ExchangeDirectories(const fs::path& from, const fs::path& to, FileSystem& files) {
  if (!files.Exists(from / kSupersededMark)) {
    if (absl::Status status = WriteFileAtomically(to / kSupersededMark, "", files); !status.ok()) return status;
    if (absl::Status status = files.Exchange(from, to); !status.ok()) return status;
  }
  if (absl::Status status = SyncParents(from, to, files); !status.ok()) return status;
  return RemoveDirectory(from, files);
}

}  // namespace

absl::Status PublishDirectory(const fs::path& from_path, const fs::path& to_path, FileSystem& files) {
  const fs::path from = WithoutTrailingSlash(from_path);
  const fs::path to = WithoutTrailingSlash(to_path);
  const absl::Status renamed = files.RenameNew(from, to);
  if (renamed.ok()) return SyncParents(from, to, files);
  if (absl::IsAlreadyExists(renamed)) return ExchangeDirectories(from, to, files);
  if (!absl::IsNotFound(renamed) || files.Exists(from) || !files.Exists(to)) return renamed;
  // Published by an earlier call, which may not have come to its end.
  if (absl::Status status = SyncParents(from, to, files); !status.ok()) return status;
  return RemoveDirectory(from, files);
}

absl::Status RemoveDirectory(const fs::path& path_given, FileSystem& files) {
  const fs::path path = WithoutTrailingSlash(path_given);
  fs::path doomed = path;
  doomed += kSupersededMark;
  if (files.Exists(path)) {
    if (absl::Status status = files.RemoveTree(doomed); !status.ok()) return status;
    if (absl::Status status = files.Rename(path, doomed); !status.ok()) return status;
    if (absl::Status status = files.SyncFolder(ParentOf(path)); !status.ok()) return status;
  }
  if (absl::Status status = files.RemoveTree(doomed); !status.ok()) return status;
  const absl::Status status = files.SyncFolder(ParentOf(path));
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "cannot open", path);
  std::string content;
  struct stat info;
  if (fstat(fd.get(), &info) == 0 && info.st_size > 0) content.reserve(static_cast<size_t>(info.st_size) + 1);
  char buffer[64 << 10];
  for (;;) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got == 0) return content;
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "cannot read", path);
    }
    content.append(buffer, static_cast<size_t>(got));
  }
}

}  // namespace pixelrec::storage
