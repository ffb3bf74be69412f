// The pure machine: one event in, the changed state and what must be done about it out. Every decision of the coordinator is made
// here and says its reason in the job's events.
//
// Order for the caller: Step() any number of times; make all Outcome::records durable; perform the actions; State::Accept(). If
// the records can't be made durable: State::Rollback() and perform nothing.
#pragma once

#include <chrono>

#include "coordinator/state/event.h"
#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

Outcome Step(State& state, const Event& event, Now now);

// The steady instant at which a Tick is next needed.
std::chrono::microseconds NextDeadline(const State& state);

}  // namespace pixelrec::coordinator
