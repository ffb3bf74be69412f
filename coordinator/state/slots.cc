#include "coordinator/state/slots.h"

#include <algorithm>
#include <utility>

#include "coordinator/state/elastic.h"
#include "coordinator/state/time_limit.h"

namespace pixelrec::coordinator {

using std::chrono::microseconds;

namespace {

int Needed(const JobEntry& entry) { return std::max(1, entry.job().spec().distributed().min_workers()); }

}  // namespace

int KeptFor(const JobEntry& entry) {
  const Gang& gang = entry.record.gang();
  const bool goes_on = !gang.has_failure() && !gang.has_stop() && !entry.record.has_cancellation() && !entry.record.has_pause();
  return gang.role() == v1::TRAINER_ROLE_PREPARE && goes_on ? std::max(0, Needed(entry) - gang.ranks_size()) : 0;
}

Slots CountSlots(const State& state, Now now) {
  Slots slots;
  for (const auto& [id, worker] : state.workers) {
    slots.usable += worker.usable();
    if (worker.idle(now)) {
      slots.idle.push_back(&worker);
    }
  }
  for (uint64_t number : state.live) {
    slots.kept += KeptFor(state.jobs.at(number));
  }
  return slots;
}

int FitIdle(const Slots& slots, const JobEntry& entry) {
  const auto fit = [&](const WorkerEntry* worker) { return IsFit(entry, *worker); };
  return static_cast<int>(std::count_if(slots.idle.begin(), slots.idle.end(), fit));
}

int FitAway(const State& state, const JobEntry& entry) {
  return static_cast<int>(std::count_if(state.workers.begin(), state.workers.end(), [&](const auto& worker) {
    return worker.second.usable() && !worker.second.connected() && worker.second.ranks.empty() && IsFit(entry, worker.second);
  }));
}

int FitWorkers(const State& state, const JobEntry& entry) {
  return static_cast<int>(std::count_if(state.workers.begin(), state.workers.end(), [&](const auto& worker) {
    return worker.second.usable() && IsFit(entry, worker.second);
  }));
}

int RanksFor(const State& state, const JobEntry& entry, const JobEntry& wants) {
  int count = 0;
  for (const GangRank& rank : entry.record.gang().ranks()) {
    auto worker = state.workers.find(rank.worker_id());
    count += !rank.ended() && worker != state.workers.end() && worker->second.usable() && IsFit(wants, worker->second);
  }
  return count;
}

bool GivesWorkersBack(const JobEntry& entry) {
  const StopCause cause = entry.record.gang().stop().cause();
  return entry.record.has_cancellation() || entry.record.has_pause() || entry.job().has_result() ||
         cause == STOP_CAUSE_PREEMPTION || cause == STOP_CAUSE_TIME_LIMIT;
}

microseconds EarliestStart(const State& state, const JobEntry& front, Now now) {
  std::vector<std::pair<microseconds, int>> ends;
  for (uint64_t number : state.live) {
    const JobEntry& entry = state.jobs.at(number);
    ends.emplace_back(GivesWorkersBack(entry) ? microseconds(0) : TimeLeft(entry, now), RanksFor(state, entry, front));
  }
  std::sort(ends.begin(), ends.end());
  const Slots slots = CountSlots(state, now);
  int have = std::max(0, FitIdle(slots, front) - slots.kept);
  for (const auto& [end, ranks] : ends) {
    have += ranks;
    if (have >= Needed(front)) {
      return end;
    }
  }
  return microseconds::max();
}

}  // namespace pixelrec::coordinator
