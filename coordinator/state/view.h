// What users see: jobs and workers as proto messages, and in words why a job waits.
#pragma once

#include <string>

#include "coordinator/state/state.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::coordinator {

v1::Job ViewJob(const State& state, const JobEntry& entry, Now now);
v1::Worker ViewWorker(const WorkerEntry& worker);
v1::WorkerState StateOf(const WorkerEntry& worker);

// "needs 2 workers; 1 idle, 1 lost 12 s ago", "needs 2 to 4 workers; 1 idle".
std::string WaitingReason(const State& state, const JobEntry& entry, Now now);

// Connected workers on hosts that could not prepare the job's dataset.
int UnfitWorkers(const State& state, const JobEntry& entry);

// Of the gang that has just been formed, if its size says something: " (grown from 1)", " (3 wanted, 1 lost)"; else empty.
std::string SizeReason(const State& state, const JobEntry& entry);

}  // namespace pixelrec::coordinator
