// What durable writers ask of a disk. Programs use RealFileSystem(); tests put a model of a disk in its place that fails, tears
// writes and loses power at any operation (tests/common/storage/fault_file_system.h).
//
// Not for reading: readers map files and verify what they find. Threads: any. Errors: as errno says, with the path
// (ErrnoStatus): RESOURCE_EXHAUSTED: no space, NOT_FOUND, PERMISSION_DENIED, ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace pixelrec::storage {

// A new file. Destroying it closes it; only what SyncAndClose confirmed is on the disk.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // All of `bytes`; after an error any part of them may be there.
  virtual absl::Status Append(absl::Span<const std::byte> bytes) = 0;
  virtual absl::Status SyncAndClose() = 0;
};

class FileSystem {
 public:
  enum class Existing { kRefuse, kTruncate };
  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::filesystem::path& path, Existing existing) = 0;
  // ALREADY_EXISTS.
  virtual absl::Status CreateFolder(const std::filesystem::path& path) = 0;
  // Makes a folder's entries durable: what was created, renamed or removed in it.
  virtual absl::Status SyncFolder(const std::filesystem::path& path) = 0;
  // Replaces a file at `to`.
  virtual absl::Status Rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  // ALREADY_EXISTS: something is at `to`.
  virtual absl::Status RenameNew(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  virtual absl::Status Exchange(const std::filesystem::path& a, const std::filesystem::path& b) = 0;
  // OK if there is nothing. A tree may be half gone after an error.
  virtual absl::Status RemoveFile(const std::filesystem::path& path) = 0;
  virtual absl::Status RemoveTree(const std::filesystem::path& path) = 0;

  virtual bool Exists(const std::filesystem::path& path) = 0;
  // Bytes that may still be written by this user on the file system of `path`, which exists.
  virtual absl::StatusOr<uint64_t> FreeBytes(const std::filesystem::path& path) = 0;
};

FileSystem& RealFileSystem();

}  // namespace pixelrec::storage
