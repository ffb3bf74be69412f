// What users see: jobs and workers as proto messages, and in words why a job waits.
#pragma once

#include <string>

#include "coordinator/state/state.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::coordinator {

v1::Job ViewJob(const State& state, const JobEntry& entry, Now now);
v1::Worker ViewWorker(const WorkerEntry& worker);

// "needs 2 workers; 1 idle, 1 lost 12 s ago".
std::string WaitingReason(const State& state, const JobEntry& entry, Now now);

}  // namespace pixelrec::coordinator
