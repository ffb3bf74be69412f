// Durable replacement of files and directories: what is visible under a final name is whole, also after a power cut.
//
// Threads: any; two writers of one path: the last rename wins. Errors: RESOURCE_EXHAUSTED: no space. PERMISSION_DENIED,
// NOT_FOUND, INTERNAL: as errno says.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/storage/filesystem.h"

namespace pixelrec::storage {

// temp file, fsync, rename, fsync of the folder.
absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view content,
                                 FileSystem& files = RealFileSystem());

// Makes `path` and what is missing above it, and syncs every folder from `path`'s parent up to `root`, which lies above `path`
// and exists: also those that another process made and may not have synced.
absl::Status CreateFolders(const std::filesystem::path& root, const std::filesystem::path& path,
                           FileSystem& files = RealFileSystem());

// fsync of one written file or of a directory's entries.
absl::Status SyncPath(const std::filesystem::path& path);

// Renames directory `from` to `to` and syncs the parents of both, up to the folder that holds both. An existing `to` is exchanged
// (RENAME_EXCHANGE) and then removed, so that at no instant is there nothing under `to`. Idempotent, also after a crash at any
// point of an earlier call: OK if `from` is gone and `to` exists.
absl::Status PublishDirectory(const std::filesystem::path& from, const std::filesystem::path& to,
                              FileSystem& files = RealFileSystem());

// At the end of the name of a directory that is being removed.
inline constexpr char kSupersededMark[] = ".superseded";

// Removes a directory for good. It leaves its name whole before anything in it is removed: nobody finds half of it. Idempotent,
// also after a crash at any point of an earlier call.
absl::Status RemoveDirectory(const std::filesystem::path& path, FileSystem& files = RealFileSystem());

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path);

// errno -> Status with the path and a hint in words.
absl::Status ErrnoStatus(int error, absl::string_view what, const std::filesystem::path& path);

}  // namespace pixelrec::storage
