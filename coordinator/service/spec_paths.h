// Which paths a job may name.
//
// Threads: pure functions.
#pragma once

#include <filesystem>
#include <vector>

#include "absl/status/status.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::coordinator {

// Every path of the spec is absolute and, unless `roots` is empty, lies under one of them by its spelling; links are followed on
// the worker's machine, which checks again. Each is left in its normal form, without "..": one folder has one spelling, so that
// two jobs can't share it unseen, and the worker opens what was checked. INVALID_ARGUMENT: names the field.
absl::Status CheckSpecPaths(v1::JobSpec& spec, const std::vector<std::filesystem::path>& roots);

}  // namespace pixelrec::coordinator
