// What the scheduler asks of elastic.cc.
#pragma once

#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

// False for a worker on a host that could not prepare the job's dataset when the job was to grow onto it.
bool IsFit(const JobEntry& entry, const WorkerEntry& worker);

}  // namespace pixelrec::coordinator
