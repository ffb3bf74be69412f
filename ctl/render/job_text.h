// Jobs and workers as text.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "pixelrec/v1/job.pb.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::ctl {

// One line per job: id, name, state, progress, age, reason.
std::string JobListText(const v1::ListJobsResponse& jobs, absl::Time now);

// Everything the coordinator knows of one job.
std::string JobDescription(const v1::Job& job, absl::TimeZone zone);

std::string WorkerListText(const v1::ListWorkersResponse& workers, absl::Time now);

// "epoch 1/2, step 120/468", or the section ("prepare 40%"); empty if nothing is known.
std::string ProgressSummary(const v1::Progress& progress);

}  // namespace pixelrec::ctl
