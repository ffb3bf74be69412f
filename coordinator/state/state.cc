#include "coordinator/state/state.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"

namespace pixelrec::coordinator {

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED || state == v1::JOB_STATE_CANCELLED;
}

bool JobEntry::ended() const { return IsTerminal(job().state()); }

namespace {

// Removes what an index says of job `number`, if it says so; another job may have taken the key.
template <typename Index>
void Forget(Index& index, const std::string& key, uint64_t number) {
  auto it = index.find(key);
  if (it != index.end() && it->second == number) {
    index.erase(it);
  }
}

}  // namespace

void State::Reindex(uint64_t number) {
  auto it = jobs.find(number);
  live.erase(number);
  backing_off.erase(number);
  if (it == jobs.end()) {
    std::erase_if(waiting, [number](const auto& key) { return key.second == number; });
    std::erase_if(by_id, [number](const auto& key) { return key.second == number; });
    std::erase_if(by_request, [number](const auto& key) { return key.second == number; });
    std::erase_if(by_output_dir, [number](const auto& key) { return key.second == number; });
    for (auto& [name, numbers] : by_name) {
      numbers.erase(number);
    }
    return;
  }
  const JobEntry& entry = it->second;
  const v1::Job& job = entry.job();
  const std::pair<int, uint64_t> place{-job.spec().scheduling().priority(), number};
  waiting.erase(place);
  by_id[job.job_id()] = number;
  by_name[job.spec().name()].insert(number);
  if (!entry.record.request_id().empty()) {
    by_request[entry.record.request_id()] = number;
  }
  if (entry.ended()) {
    Forget(by_output_dir, job.spec().output_dir(), number);
  } else {
    by_output_dir[job.spec().output_dir()] = number;
    if (entry.gang_lives()) {
      live.insert(number);
    } else {
      waiting.insert(place);
      if (entry.retry_at > std::chrono::microseconds(0)) {
        backing_off.insert(number);
      }
    }
  }
}

void State::Rollback() {
  for (auto& [number, before] : undo.jobs) {
    if (!before.has_value()) {
      jobs.erase(number);
    } else {
      auto& [old_entry, event_count] = *before;
      JobEntry& entry = jobs[number];
      old_entry.events.swap(entry.events);
      old_entry.events.resize(event_count);
      entry = std::move(old_entry);
    }
    Reindex(number);
  }
  for (auto& [id, before] : undo.workers) {
    if (before.has_value()) {
      workers[id] = std::move(*before);
    } else {
      workers.erase(id);
    }
  }
  undo = {};
}

absl::StatusOr<uint64_t> FindJob(const State& state, const std::string& name) {
  if (auto it = state.by_id.find(name); it != state.by_id.end()) {
    return it->second;
  }
  if (auto it = state.by_name.find(name); it != state.by_name.end() && !it->second.empty()) {
    return *it->second.rbegin();
  }
  auto first = name.empty() ? state.by_id.end() : state.by_id.lower_bound(name);
  if (first == state.by_id.end() || !absl::StartsWith(first->first, name)) {
    return rpc::Refuse(absl::StatusCode::kNotFound, rpc::kJobNotFound,
                       absl::StrCat("no job '", name, "': give an id or a name that `pixelrecctl list` shows"));
  }
  auto second = std::next(first);
  if (second != state.by_id.end() && absl::StartsWith(second->first, name)) {
    return rpc::Refuse(
        absl::StatusCode::kNotFound, rpc::kJobAmbiguous,
        absl::StrCat("'", name, "' begins more than one job id (", first->first, ", ", second->first, "): give more of it"));
  }
  return first->second;
}

}  // namespace pixelrec::coordinator
