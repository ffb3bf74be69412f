// Durable replacement of files and directories: what is visible under a final name is whole, also after a power cut.
//
// Threads: any; two writers of one path: the last rename wins.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::storage {

// temp file, fsync, rename, fsync of the folder. RESOURCE_EXHAUSTED: no space. PERMISSION_DENIED, NOT_FOUND, INTERNAL: as errno
// says.
absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view content);

// fsync of one written file or of a directory's entries.
absl::Status SyncPath(const std::filesystem::path& path);

// Renames directory `from` to `to` and syncs both parents. An existing `to` is exchanged (RENAME_EXCHANGE) and then removed, so
// that at no instant is there nothing under `to`. Idempotent, also after a crash at any point of an earlier call: OK if `from` is
// gone and `to` exists.
absl::Status PublishDirectory(const std::filesystem::path& from, const std::filesystem::path& to);

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path);

// errno -> Status with the path and a hint in words.
absl::Status ErrnoStatus(int error, absl::string_view what, const std::filesystem::path& path);

}  // namespace pixelrec::storage
