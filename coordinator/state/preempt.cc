// A waiting job takes the workers of running ones that are worth less than its own priority. What waiting has added doesn't help
// it to preempt, but did help those that it brought to their workers: they keep it as long as they hold them, so that nobody is
// evicted for ever. The lowest and youngest go first, as few as it takes, and nobody if all of them together would not be enough.
#include <algorithm>
#include <array>
#include <climits>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "coordinator/state/slots.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/stop.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

namespace {

constexpr int kHighestPriority = 100;

int PriorityOf(const JobEntry& entry) { return entry.job().spec().scheduling().priority(); }

int HeldPriority(const JobEntry& entry) { return std::max(PriorityOf(entry), entry.record.held_priority()); }

bool MayBePreempted(const JobEntry& entry) {
  const v1::RestartBudget& budget = entry.job().spec().scheduling().max_restarts();
  const int limit = budget.has_preemption() ? budget.preemption() : -1;
  const Gang& gang = entry.record.gang();
  const bool ends = gang.has_failure() || gang.has_stop() || gang.grows() || entry.record.has_pause() ||
                    entry.record.has_cancellation() || entry.job().has_result();
  return !ends && (limit < 0 || entry.job().preemptions() < limit);
}

// The lowest, and of those the one that began to run last: it has the least to lose.
bool GoesBefore(const JobEntry* a, const JobEntry* b) {
  const auto key = [](const JobEntry* entry) {
    const bool ran = entry->job().has_start_time();
    const int64_t start = google::protobuf::util::TimeUtil::TimestampToMicroseconds(entry->job().start_time());
    return std::tuple(HeldPriority(*entry), ran, -start, -static_cast<int64_t>(entry->record.number()));
  };
  return key(a) < key(b);
}

// What a job that waits will have without preemption, less what is promised to others that were made room for.
struct Prospect {
  int idle = 0, kept = 0, coming = 0;
  int Total() const { return std::max(0, idle - kept) + coming; }
};

}  // namespace

bool Stepper::Preempt() {
  if (now_.steady < state_.preempts_from) {
    return false;
  }
  std::vector<const JobEntry*> victims;
  for (uint64_t number : state_.live) {
    if (const JobEntry& entry = state_.jobs.at(number); MayBePreempted(entry)) {
      victims.push_back(&entry);
    }
  }
  std::sort(victims.begin(), victims.end(), GoesBefore);
  // By priority: a job of it that needs so many workers, or more, would not get them.
  std::array<int, kHighestPriority + 1> out_of_reach;
  out_of_reach.fill(INT_MAX);
  bool made = false;
  int at_hand = 0;  // a job that needs no more will be served without preemption
  for (auto it = state_.waiting.begin(); it != state_.waiting.end() && !victims.empty();) {
    const auto [place, job] = *it;
    ++it;
    const auto reach = static_cast<size_t>(std::clamp(job.priority, 0, kHighestPriority));
    const bool known = job.needed >= out_of_reach[reach] || (place.behind && !job.picky && job.needed <= at_hand);
    if (known || job.priority <= HeldPriority(*victims.front()) || BacksOff(place.number)) {
      continue;
    }
    const Room room = MakeRoom(place.number, victims);
    if (room == Room::kMade) {
      made = true;
      it = state_.waiting.upper_bound(place);
      at_hand = 0;
    } else if (room == Room::kNotNeeded && !job.picky) {
      at_hand = std::max(at_hand, place.behind ? job.needed : 0);
    } else if (room == Room::kOutOfReach && !job.picky) {
      for (size_t lower = 0; lower <= reach; ++lower) {
        out_of_reach[lower] = std::min(out_of_reach[lower], job.needed);
      }
    }
  }
  return made;
}

// Takes those who are to stop out of `victims`.
Stepper::Room Stepper::MakeRoom(uint64_t number, std::vector<const JobEntry*>& victims) {
  const JobEntry& entry = state_.jobs.at(number);
  const Waiting job = WaitingOf(entry.record);
  const Slots slots = CountSlots(state_, now_);
  Prospect prospect{.idle = FitIdle(slots, entry) + FitAway(state_, entry), .kept = slots.kept};
  for (uint64_t other : state_.live) {
    if (const JobEntry& ending = state_.jobs.at(other); GivesWorkersBack(ending)) {
      prospect.coming += RanksFor(state_, ending, entry);
    }
  }
  for (const auto& [place, claimant] : state_.waiting) {
    if (place.behind) {
      break;
    }
    prospect.coming -= place.number == number ? 0 : claimant.needed;
  }
  if (prospect.Total() >= job.needed) {
    return Room::kNotNeeded;
  }
  const auto take = [&](const JobEntry& victim, int sign) {
    prospect.coming += sign * RanksFor(state_, victim, entry);
    prospect.kept -= sign * KeptFor(victim);
  };
  std::vector<const JobEntry*> chosen;
  for (auto it = victims.begin(); it != victims.end() && HeldPriority(**it) < job.priority && prospect.Total() < job.needed;
       ++it) {
    chosen.push_back(*it);
    take(**it, 1);
  }
  if (prospect.Total() < job.needed) {
    return Room::kOutOfReach;
  }
  // Who was chosen first may not be needed any more.
  for (size_t i = chosen.size(); i-- > 0;) {
    take(*chosen[i], -1);
    if (prospect.Total() >= job.needed) {
      chosen.erase(chosen.begin() + static_cast<ptrdiff_t>(i));
    } else {
      take(*chosen[i], 1);
    }
  }
  for (const JobEntry* victim : chosen) {
    std::erase(victims, victim);
    Evict(victim->record.number(), Touch(number));
  }
  Reindex(number);
  return Room::kMade;
}

void Stepper::Evict(uint64_t victim, JobEntry& preemptor) {
  JobEntry& entry = Touch(victim);
  const int from = PriorityOf(entry), by = PriorityOf(preemptor);
  preemptor.record.set_claims(true);
  Tell(preemptor, absl::StrCat("preempts job ", entry.job().job_id(), " (priority ", from, ", this one ", by, ")"));
  AskToStop(entry, STOP_CAUSE_PREEMPTION, preemptor.job().job_id(),
            absl::StrCat("preempted by job ", preemptor.job().job_id(), " (priority ", by, ", this one ", from, ")"));
}

void Stepper::EndPreempted(JobEntry& entry) {
  v1::Job& job = *entry.record.mutable_job();
  const std::string by = entry.record.gang().stop().by();
  job.set_preemptions(job.preemptions() + 1);
  // It gives its turn away: its waiting counts from now.
  entry.record.set_waiting_since_us(now_.wall.count());
  entry.record.clear_held_priority();
  SetState(entry, v1::JOB_STATE_PENDING, absl::StrCat("preempted by job ", by, "; goes on later from ", RestartPoint(entry)),
           {.preempted_by = by});
}

}  // namespace pixelrec::coordinator
