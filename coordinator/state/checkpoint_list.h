// What a job has saved, as clients list it: every checkpoint that its record knows, and the best model.
//
// Threads: pure function.
#pragma once

#include <vector>

#include "coordinator/state/state.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::coordinator {

// Newest commit first. Those that were removed from the disk are not among them.
std::vector<v1::Checkpoint> CheckpointsOf(const JobEntry& entry);

}  // namespace pixelrec::coordinator
