// What a process holds in memory, as the kernel says.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace pixelrec::process {

// Bytes resident; `pid` 0: this process. NOT_FOUND: no such process.
absl::StatusOr<int64_t> ResidentBytes(pid_t pid);

// Bytes of memory this host has, or the limit of this process's control group where that is lower.
int64_t HostMemoryBytes();

}  // namespace pixelrec::process
