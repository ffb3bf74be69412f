// Generations that are asked to end early through nobody's failure: how long they may take, and how it is said.
#pragma once

#include <chrono>
#include <string>

#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

// From the request to SIGKILL. Killed, ranks lose the steps since the last checkpoint, so it is long, and shorter where others
// wait for the workers. STOP_CAUSE_UNSPECIFIED: to grow.
std::chrono::milliseconds StopPatience(StopCause cause);

// For the log of the rank: "worker w2 is drained".
std::string StopReason(const Stop& stop);

// How a rank that was told to stop is told again.
bool StopsAtOnce(const JobEntry& entry);

// "step 12", "the beginning": what the job goes on from.
std::string RestartPoint(const JobEntry& entry);

}  // namespace pixelrec::coordinator
