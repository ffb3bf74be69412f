#include "coordinator/state/state.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"

namespace pixelrec::coordinator {

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED || state == v1::JOB_STATE_CANCELLED;
}

// A name has no line end in it.
std::string RequestKey(const std::string& owner, const std::string& request_id) { return absl::StrCat(owner, "\n", request_id); }

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

void State::LeaveQueue(const JobEntry& entry) {
  const uint64_t number = entry.record.number();
  live.erase(number);
  backing_off.erase(number);
  if (auto at = ended_at.find(number); at != ended_at.end()) {
    ended.erase({at->second, number});
    ended_at.erase(at);
  }
  if (auto place = places.find(number); place != places.end()) {
    waiting.erase(place->second);
    places.erase(place);
  }
  Forget(by_output_dir, entry.job().spec().output_dir(), number);
}

void State::Unindex(const JobEntry& entry) {
  const uint64_t number = entry.record.number();
  LeaveQueue(entry);
  Forget(by_id, entry.job().job_id(), number);
  Forget(by_request, RequestKey(entry.job().owner(), entry.record.request_id()), number);
  if (auto named = by_name.find(entry.job().spec().name()); named != by_name.end()) {
    named->second.erase(number);
    if (named->second.empty()) {
      by_name.erase(named);
    }
  }
}

void State::Reindex(uint64_t number) {
  const JobEntry& entry = jobs.at(number);
  const v1::Job& job = entry.job();
  LeaveQueue(entry);
  by_id[job.job_id()] = number;
  by_name[job.spec().name()].insert(number);
  if (!entry.record.request_id().empty()) {
    by_request[RequestKey(job.owner(), entry.record.request_id())] = number;
  }
  if (entry.ended()) {
    const std::chrono::microseconds at(entry.record.ended_us());
    ended.insert({at, number});
    ended_at[number] = at;
    return;
  }
  by_output_dir[job.spec().output_dir()] = number;
  if (entry.gang_lives()) {
    live.insert(number);
  } else if (entry.waits()) {
    const QueueKey place = PlaceOf(entry.record, policy.aging);
    waiting[place] = WaitingOf(entry.record);
    places[number] = place;
    if (entry.retry_at > std::chrono::microseconds(0)) {
      backing_off.insert(number);
    }
  }
}

void State::RememberDeletion(const Deletion& deletion) {
  constexpr size_t kRemembered = 1000;
  deletions.push_back(deletion);
  if (deletions.size() > kRemembered) {
    deletions.pop_front();
  }
  next_number = std::max(next_number, deletion.next_number());
}

const JobEntry* State::Find(uint64_t number) const {
  if (auto it = jobs.find(number); it != jobs.end()) {
    return &it->second;
  }
  auto it = undo.deleted.find(number);
  return it == undo.deleted.end() ? nullptr : &it->second;
}

void State::Rollback() {
  for (auto& [number, entry] : undo.deleted) {
    jobs[number] = std::move(entry);
    Reindex(number);
  }
  if (undo.deletions.has_value()) {
    deletions = *std::move(undo.deletions);
  }
  for (auto& [number, before] : undo.jobs) {
    if (!before.has_value()) {
      Unindex(jobs.at(number));
      jobs.erase(number);
      continue;
    }
    auto& [old_entry, event_count] = *before;
    JobEntry& entry = jobs[number];
    old_entry.events.swap(entry.events);
    old_entry.events.resize(event_count);
    entry = std::move(old_entry);
    Reindex(number);
  }
  for (auto& [id, before] : undo.workers) {
    if (before.has_value()) {
      workers[id] = std::move(*before);
    } else {
      workers.erase(id);
    }
  }
  for (auto& [id, before] : undo.worker_records) {
    if (before.has_value()) {
      worker_records[id] = std::move(*before);
    } else {
      worker_records.erase(id);
    }
  }
  next_number = undo.next_number.value_or(next_number);
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
