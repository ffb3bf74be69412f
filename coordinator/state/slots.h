// The workers that the scheduler has to give, and what it holds back.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

struct Slots {
  std::vector<const WorkerEntry*> idle;
  int usable = 0;  // idle or not
  int kept = 0;    // of the idle ones, for jobs that prepare their datasets
  int free() const { return std::max(0, static_cast<int>(idle.size()) - kept); }
};

// The idle ones that the job could use.
int FitIdle(const Slots& slots, const JobEntry& entry);

Slots CountSlots(const State& state, Now now);

// A job that prepares its dataset on some workers has got the others that it needs, too: nobody else takes them meanwhile.
int KeptFor(const JobEntry& entry);

// Without ranks, but just now without a connection: they will be idle, or lost.
int FitAway(const State& state, const JobEntry& entry);

// Workers that the job could have if all were idle.
int FitWorkers(const State& state, const JobEntry& entry);

// The job's living ranks on workers that `wants` could use.
int RanksFor(const State& state, const JobEntry& entry, const JobEntry& wants);

// Its generation ends soon, and its job doesn't ask for the workers again right away.
bool GivesWorkersBack(const JobEntry& entry);

// How long until `front` can have its workers at the latest, if every running job uses up its time limit; max(): one that has
// none is in the way.
std::chrono::microseconds EarliestStart(const State& state, const JobEntry& front, Now now);

}  // namespace pixelrec::coordinator
