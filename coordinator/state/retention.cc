// How long the coordinator remembers jobs that have ended: their records and histories, never their files.
#include "coordinator/state/retention.h"

#include "coordinator/state/stepper.h"

namespace pixelrec::coordinator {

using std::chrono::microseconds;

namespace {

constexpr int kAtOnce = 100;  // so that no step takes long
constexpr std::chrono::seconds kLook{60};

// Of the one that ended first.
bool OutlivesItsTime(const State& state, microseconds wall) {
  const Policy& policy = state.policy;
  if (state.ended.empty()) return false;
  const microseconds ended_at = state.ended.begin()->first;
  const bool many = policy.keep_ended_jobs > 0 && state.ended.size() > policy.keep_ended_jobs;
  // An older version didn't write down when a job ended.
  const bool old = policy.keep_ended_for.count() > 0 && ended_at.count() > 0 && ended_at + policy.keep_ended_for <= wall;
  return many || old;
}

}  // namespace

microseconds NextLookAtEnded(const State& state) {
  if (state.ended.empty()) return microseconds::max();
  if (state.policy.keep_ended_jobs > 0 && state.ended.size() > state.policy.keep_ended_jobs) return state.last_tick;
  return state.policy.keep_ended_for.count() > 0 ? state.last_tick + kLook : microseconds::max();
}

void Stepper::ForgetOldJobs() {
  for (int i = 0; i < kAtOnce && OutlivesItsTime(state_, now_.wall); ++i) Forget(state_.ended.begin()->second, "", "");
}

}  // namespace pixelrec::coordinator
