// A log file that only grows. Every Append is one write(2), so that a reader, or a crash, sees whole records but perhaps the
// last.
//
// Threads: one at a time.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::train {

class AppendFile {
 public:
  // Makes the file and its folder where need be; what is there stays. NOT_FOUND, PERMISSION_DENIED, ...: as errno says.
  static absl::StatusOr<std::unique_ptr<AppendFile>> Open(const std::filesystem::path& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // RESOURCE_EXHAUSTED: no space; a part that got written is taken back, so that the file stays readable.
  absl::Status Append(absl::string_view bytes);
  // Cuts the file to its first `bytes` bytes.
  absl::Status Truncate(int64_t bytes);
  // To the disk, not only to the system.
  absl::Status Sync();
  const std::filesystem::path& path() const { return path_; }

 private:
  AppendFile(std::filesystem::path path, int fd);
  std::filesystem::path path_;
  int fd_;
};

}  // namespace pixelrec::train
