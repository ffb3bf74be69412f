// Whether the workers that a coordinator knows have room for a job.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ctl/plan/job_plan.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::ctl {

// A machine and its live workers, which share its memory.
struct Host {
  std::string name;
  int64_t memory_bytes = 0;
  int workers = 0;
};
std::vector<Host> HostsOf(const v1::ListWorkersResponse& workers);

enum class Fit {
  kUnknown,  // no worker is known, or none says how much memory it has
  kFits,     // wherever the ranks go
  kMayFit,   // only if ranks go where there is room, or with workers that aren't there yet
  kNever,    // on none of these machines, or not all ranks at once
};

struct FitVerdict {
  Fit fit = Fit::kUnknown;
  std::string text;  // why, and what would fit instead
};
FitVerdict Judge(const JobPlan& plan, const std::vector<Host>& hosts);

}  // namespace pixelrec::ctl
