// Which waiting job gets which idle workers. Priority first, then the order of submission; all ranks of a job start or none.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "coordinator/state/elastic.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/view.h"

namespace pixelrec::coordinator {

void Stepper::Schedule() {
  std::vector<const WorkerEntry*> idle;
  int connected = 0;
  if (!state_.waiting.empty()) {
    for (const auto& [id, worker] : state_.workers) {
      connected += worker.connected();
      if (worker.idle(now_)) {
        idle.push_back(&worker);
      }
    }
  }
  // Starting a job takes it out of the queue under our feet: the next one is found by its place.
  for (auto it = state_.waiting.begin(); it != state_.waiting.end() && !idle.empty();) {
    const auto place = *it;
    const uint64_t number = place.second;
    ++it;
    const JobEntry& entry = state_.jobs.at(number);
    if (entry.retry_at > now_.steady) {
      continue;
    }
    const int needed = std::max(1, entry.job().spec().distributed().min_workers());
    const int unfit = UnfitWorkers(state_, entry);
    std::vector<const WorkerEntry*> fit;
    if (unfit > 0) {
      std::copy_if(idle.begin(), idle.end(), std::back_inserter(fit), [&](const WorkerEntry* w) { return IsFit(entry, *w); });
    }
    const std::vector<const WorkerEntry*>& usable = unfit > 0 ? fit : idle;
    if (static_cast<int>(usable.size()) >= needed) {
      Start(Touch(number), usable);
      it = state_.waiting.upper_bound(place);
      std::erase_if(idle, [this](const WorkerEntry* worker) { return !worker->idle(now_); });
    } else if (connected - unfit >= needed) {
      break;  // its turn comes when others end: smaller jobs behind it mustn't take the slots it waits for
    }
    // Else it can't run with the workers there are, and blocks nobody.
  }
  Park();
}

// Takes workers of hosts that hold the dataset first, ranks of one host side by side.
void Stepper::Start(JobEntry& entry, const std::vector<const WorkerEntry*>& idle) {
  const std::set<std::string> prepared(entry.record.prepared_hosts().begin(), entry.record.prepared_hosts().end());
  std::vector<const WorkerEntry*> chosen = idle;
  std::stable_sort(chosen.begin(), chosen.end(), [&](const WorkerEntry* a, const WorkerEntry* b) {
    const bool a_waits = !prepared.contains(a->info.host()), b_waits = !prepared.contains(b->info.host());
    return std::tie(a_waits, a->info.host()) < std::tie(b_waits, b->info.host());
  });
  const size_t wanted = std::max(1, entry.job().spec().distributed().max_workers());
  chosen.resize(std::min(chosen.size(), wanted));

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
  state_.Reindex(entry.record.number());
}

// A job whose dataset is ready, or that stopped to grow, but whose workers were taken meanwhile, waits like any other.
void Stepper::Park() {
  for (uint64_t number : dirty_) {
    JobEntry& entry = state_.jobs.at(number);
    if (entry.gang_lives()) {
      continue;
    }
    if (entry.job().state() == v1::JOB_STATE_PREPARING) {
      SetState(entry, v1::JOB_STATE_PENDING, absl::StrCat("the dataset is prepared; ", WaitingReason(state_, entry, now_)));
    } else if (entry.job().state() == v1::JOB_STATE_RUNNING) {
      SetState(
          entry, v1::JOB_STATE_PENDING,
          absl::StrCat("stopped at step ", entry.job().checkpoint().step(), " to grow; ", WaitingReason(state_, entry, now_)));
    }
  }
}

}  // namespace pixelrec::coordinator
