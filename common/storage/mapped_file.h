// A regular file mapped read-only, whole.
//
// Not for a file that may shrink while it is mapped: reading past its new end ends the process with SIGBUS. Files here are
// replaced by rename, never rewritten. Threads: immutable; any.
#pragma once

#include <cstddef>
#include <filesystem>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace pixelrec::storage {

class MappedFile {
 public:
  // INVALID_ARGUMENT: not a regular file. NOT_FOUND, PERMISSION_DENIED, ...: as errno says.
  static absl::StatusOr<MappedFile> Open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept
      : map_(std::exchange(other.map_, nullptr)), bytes_(std::exchange(other.bytes_, size_t{0})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(map_, other.map_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  // Stay where they are when this object is moved.
  absl::Span<const std::byte> bytes() const { return {static_cast<const std::byte*>(map_), bytes_}; }

 private:
  MappedFile(void* map, size_t bytes) : map_(map), bytes_(bytes) {}
  void* map_;  // nullptr for an empty file
  size_t bytes_;
};

}  // namespace pixelrec::storage
