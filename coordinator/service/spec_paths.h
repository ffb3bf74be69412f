// Which paths a job may name.
//
// Threads: pure functions.
#pragma once

#include <filesystem>
#include <vector>

#include "absl/status/status.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::coordinator {

// Every path of the spec is absolute and, unless `roots` is empty, lies under one of them by its spelling (".." is resolved;
// links are followed on the worker's machine, which checks again). INVALID_ARGUMENT: names the field.
absl::Status CheckSpecPaths(const v1::JobSpec& spec, const std::vector<std::filesystem::path>& roots);

}  // namespace pixelrec::coordinator
