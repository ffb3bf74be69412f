// XXH3-128 of files and streams: finds torn, truncated and flipped bytes. Not a defence against someone who forges a file on
// purpose.
//
// Threads: one Digest belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pixelrec::checkpoint {

// What a manifest holds about one file.
struct FileDigest {
  uint64_t bytes = 0;
  std::string xxh3;  // 32 hex digits, lower case, most significant first (as xxhsum -H2 prints it)
  friend bool operator==(const FileDigest&, const FileDigest&) = default;
};

class Digest {
 public:
  Digest();
  void Add(absl::Span<const std::byte> bytes);
  FileDigest Finish() const;  // of everything added so far

 private:
  struct FreeState {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, FreeState> state_;
  uint64_t bytes_ = 0;
};

FileDigest DigestOf(absl::string_view text);

// Reads the whole file once, 1 MiB at a time. NOT_FOUND, PERMISSION_DENIED, ...: as errno says.
absl::StatusOr<FileDigest> DigestFile(const std::filesystem::path& path);

}  // namespace pixelrec::checkpoint
