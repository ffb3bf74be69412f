// Which waiting job gets which idle workers. All ranks of a job start or none. The first in the queue (queue.h) that waits for
// workers which exist holds them back from those behind it, who may pass only where that can't delay it (backfill).
#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "coordinator/state/elastic.h"
#include "coordinator/state/slots.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/stop.h"
#include "coordinator/state/view.h"

namespace pixelrec::coordinator {

using std::chrono::microseconds;

namespace {

// The job that waits for workers which exist, and how long it still will if all who run use up their time limits.
struct Front {
  const JobEntry& job;
  microseconds starts_in;
};

// The workers that `job` may take, past the one in front.
std::vector<const WorkerEntry*> Choices(const Slots& slots, const JobEntry& job, const std::optional<Front>& front,
                                        bool in_time) {
  std::vector<const WorkerEntry*> choices;
  std::copy_if(slots.idle.begin(), slots.idle.end(), std::back_inserter(choices), [&](const WorkerEntry* worker) {
    return IsFit(job, *worker) && (!front.has_value() || in_time || !IsFit(front->job, *worker));
  });
  return choices;
}

}  // namespace

void Stepper::Schedule() {
  if (due_ && !state_.waiting.empty()) {
    StartWaiting();
    if (Preempt()) {
      StartWaiting();  // of a victim that prepared its dataset, the workers that were kept for it are there at once
    }
  }
  Park();
}

bool Stepper::BacksOff(uint64_t number) const {
  return state_.backing_off.contains(number) && state_.jobs.at(number).retry_at > now_.steady;
}

void Stepper::StartWaiting() {
  Slots slots = CountSlots(state_, now_);
  std::optional<Front> front;
  // Starting a job takes it out of the queue under our feet: the next one is found by its place.
  for (auto it = state_.waiting.begin(); it != state_.waiting.end() && slots.free() > 0;) {
    const auto [place, job] = *it;
    ++it;
    const bool in_time = front.has_value() && job.time_left != microseconds::max() && job.time_left <= front->starts_in;
    const bool hopeless = front.has_value() ? !in_time && front->job.record.unfit_hosts_size() == 0 : job.needed > slots.usable;
    if (hopeless || BacksOff(place.number)) {
      continue;  // a job that can't run with the workers there are holds nothing back
    }
    const JobEntry& entry = state_.jobs.at(place.number);
    const std::vector<const WorkerEntry*> choices = Choices(slots, entry, front, in_time);
    if (std::min(static_cast<int>(choices.size()), slots.free()) >= job.needed) {
      Start(Touch(place.number), choices, slots.free());
      it = state_.waiting.upper_bound(place);
      slots = CountSlots(state_, now_);
    } else if (!front.has_value() && FitWorkers(state_, entry) >= job.needed) {
      front.emplace(Front{entry, EarliestStart(state_, entry, now_)});
    }
  }
}

// Takes workers of hosts that hold the dataset first, ranks of one host side by side.
void Stepper::Start(JobEntry& entry, const std::vector<const WorkerEntry*>& choices, int most) {
  const std::set<std::string> prepared(entry.record.prepared_hosts().begin(), entry.record.prepared_hosts().end());
  std::vector<const WorkerEntry*> chosen = choices;
  std::stable_sort(chosen.begin(), chosen.end(), [&](const WorkerEntry* a, const WorkerEntry* b) {
    const bool a_waits = !prepared.contains(a->info.host()), b_waits = !prepared.contains(b->info.host());
    return std::tie(a_waits, a->info.host()) < std::tie(b_waits, b->info.host());
  });
  const int wanted = std::min(most, std::max(1, entry.job().spec().distributed().max_workers()));
  chosen.resize(std::min(chosen.size(), static_cast<size_t>(wanted)));

  std::vector<std::string> ids;
  std::vector<std::string> to_prepare;
  std::set<std::string> hosts = prepared;
  for (const WorkerEntry* worker : chosen) {
    ids.push_back(worker->id);
    if (hosts.insert(worker->info.host()).second) {
      to_prepare.push_back(worker->id);
    }
  }
  if (to_prepare.empty()) {
    StartGang(entry, v1::TRAINER_ROLE_TRAIN, ids);
  } else {
    StartGang(entry, v1::TRAINER_ROLE_PREPARE, to_prepare);
  }
  Reindex(entry.record.number());
}

namespace {

// Of a job whose generation has ended through no failure, and that isn't started again at once.
std::string WhyParked(const JobEntry& entry) {
  const Gang& gang = entry.record.gang();
  const std::string stopped = gang.role() == v1::TRAINER_ROLE_PREPARE
                                  ? "stopped preparing its dataset"
                                  : absl::StrCat("stopped, to go on from ", RestartPoint(entry));
  if (gang.stop().cause() == STOP_CAUSE_PAUSE) {
    return absl::StrCat(stopped, ", and resumed meanwhile");
  }
  if (gang.has_stop()) {
    return absl::StrCat(stopped, ": ", StopReason(gang.stop()));
  }
  return gang.role() == v1::TRAINER_ROLE_PREPARE ? "the dataset is prepared"
                                                 : absl::StrCat("stopped at step ", entry.job().checkpoint().step(), " to grow");
}

}  // namespace

// A job whose dataset is ready, or that stopped to go on elsewhere, but whose workers were taken meanwhile, waits like any other.
void Stepper::Park() {
  for (uint64_t number : dirty_) {
    JobEntry& entry = state_.jobs.at(number);
    const v1::JobState state = entry.job().state();
    const bool ran = state == v1::JOB_STATE_PREPARING || state == v1::JOB_STATE_STARTING || state == v1::JOB_STATE_RUNNING;
    if (ran && !entry.gang_lives()) {
      SetState(entry, v1::JOB_STATE_PENDING, absl::StrCat(WhyParked(entry), "; ", WaitingReason(state_, entry, now_)));
    }
  }
}

}  // namespace pixelrec::coordinator
