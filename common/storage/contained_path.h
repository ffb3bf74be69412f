// Whether a path leads to where it seems to: under one of some folders, also through the links on its way, and to a plain file or
// folder.
//
// What is checked can be changed by anyone who may write there; the folders are a fence around jobs, not around their owners'
// file systems. Threads: any.
#pragma once

#include <filesystem>
#include <vector>

#include "absl/status/status.h"

namespace pixelrec::storage {

// By the spelling alone; both are in their normal form.
bool LiesUnder(const std::filesystem::path& path, const std::filesystem::path& root);

// `path` need not exist; what exists of it is followed by the kernel (openat2), which must not leave its root on the way. No
// roots: anywhere but in /proc and /sys, which hold other things than files. PERMISSION_DENIED: it leads elsewhere, or can't be
// looked at, or is neither a file nor a folder. INVALID_ARGUMENT: not absolute, or with "..". UNIMPLEMENTED: the kernel has no
// openat2 (Linux 5.6).
absl::Status CheckContained(const std::filesystem::path& path, const std::vector<std::filesystem::path>& roots);

}  // namespace pixelrec::storage
