// Where a job's prepared dataset lies.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "ctl/client/job_client.h"

namespace pixelrec::ctl {

// NOT_FOUND: no such job, or it has no prepared dataset yet.
absl::StatusOr<std::string> DatasetOfJob(JobClient& client, const std::string& job);

}  // namespace pixelrec::ctl
