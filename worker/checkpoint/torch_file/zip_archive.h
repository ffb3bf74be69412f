// The directory of a ZIP archive whose entries are all stored (not compressed), as torch.save writes them, zip64 included.
//
// Not a general ZIP reader: compressed and encrypted entries, archives of several volumes and bytes in front of the archive are
// refused. Nothing in the file is trusted: every entry lies inside the file, in front of the directory, and overlaps no other.
// Checksums are not compared (torch can leave them out).
// Threads: immutable after Parse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pixelrec::checkpoint {

class ZipArchive {
 public:
  // `file` must outlive the archive. INVALID_ARGUMENT: no ZIP archive, or not of this kind; DATA_LOSS: cut off. Errors are
  // "FILE: entry NAME: what".
  static absl::StatusOr<ZipArchive> Parse(absl::Span<const std::byte> file, absl::string_view file_name);

  // By name, the contents.
  const std::map<std::string, absl::Span<const std::byte>>& entries() const { return entries_; }

 private:
  std::map<std::string, absl::Span<const std::byte>> entries_;
};

}  // namespace pixelrec::checkpoint
