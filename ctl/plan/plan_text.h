// A plan for people to read.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>

#include "ctl/plan/fit.h"
#include "ctl/plan/job_plan.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::ctl {

// Bytes that the whole job leaves in output_dir: epoch checkpoints, recovery checkpoints, best_model/.
int64_t ResultBytes(const v1::JobSpec& spec, const JobPlan& plan);

// `free_disk`: of output_dir, where it can be seen from here.
std::string PlanText(const v1::JobSpec& spec, const JobPlan& plan, const FitVerdict& fit, std::optional<int64_t> free_disk);

}  // namespace pixelrec::ctl
