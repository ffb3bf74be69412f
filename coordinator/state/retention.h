// When to look whether a job that has ended is to be forgotten (Policy::keep_ended_jobs, keep_ended_for). Pure.
#pragma once

#include <chrono>

#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

// By the steady clock; max(): never, as things are.
std::chrono::microseconds NextLookAtEnded(const State& state);

}  // namespace pixelrec::coordinator
