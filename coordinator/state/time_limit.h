// scheduling.time_limit: how much of it is left.
#pragma once

#include <chrono>

#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

// By what the record says: without what the generation that runs adds. max(): no limit.
std::chrono::microseconds TimeLeft(const v1::Job& job);

// With that.
std::chrono::microseconds TimeLeft(const JobEntry& entry, Now now);
std::chrono::microseconds RunTime(const JobEntry& entry, Now now);

// Steady instant at which the limit is reached; max(): never, or not as long as it doesn't run.
std::chrono::microseconds TimeLimitAt(const JobEntry& entry);

}  // namespace pixelrec::coordinator
