// Whose results an output_dir holds, and what output_policy says about them.
//
// Threads: call from rank 0's training thread, before any other rank writes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

struct OutputClaim {
  std::filesystem::path resume_from;  // newest valid checkpoint (OutputPolicy::kResume); empty: start
  std::vector<std::string> notices;   // what was removed, skipped or found
};

// Makes `output_dir` this job's: writes <output_dir>/job.json with the job's id. A folder that carries the id already is a former
// generation's and stays as it is. Another job's results: kNew refuses, kReplace removes them, kResume continues from the newest
// valid checkpoint. ALREADY_EXISTS: refused; PERMISSION_DENIED, RESOURCE_EXHAUSTED, ...: as errno says. Errors carry a
// FailureKind.
absl::StatusOr<OutputClaim> ClaimOutputFolder(const std::filesystem::path& output_dir, const std::string& job_id,
                                              OutputPolicy policy);

}  // namespace pixelrec::train
