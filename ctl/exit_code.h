// The exit codes of pixelrecctl: part of its interface, scripts branch on them.
#pragma once

#include "absl/status/status.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::ctl {

enum ExitCode : int {
  kExitOk = 0,
  kExitJobFailed = 1,  // or any error that has no code of its own
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitRefused = 4,  // by validation, or by the state of the job
  kExitPermission = 5,
  kExitUnavailable = 6,
  kExitCancelled = 7,
  kExitStillRunning = 8,
};

// For a call that failed.
ExitCode ExitCodeOf(const absl::Status& status);

// For a job somebody waited for.
ExitCode ExitCodeOf(v1::JobState state);

}  // namespace pixelrec::ctl
