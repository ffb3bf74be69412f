// Jobs with min_workers < max_workers. They shrink by themselves: a generation that lost a rank is followed by one with the
// workers that are idle when the last rank of the old one has ended. (A worker whose connection broke has its lease to come back;
// until then its rank counts as living. So nobody waits longer for it than that, and a short break costs no rank.) Growing is
// decided here.
#include "coordinator/state/elastic.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/state/failures.h"
#include "coordinator/state/stepper.h"

namespace pixelrec::coordinator {

using std::chrono::microseconds;

namespace {

// A worker that comes and goes would stop the job for each of its returns: after every loss it must stay twice as long.
constexpr int kMostDoublings = 5;

}  // namespace

bool IsFit(const JobEntry& entry, const WorkerEntry& worker) {
  const auto& unfit = entry.record.unfit_hosts();
  return std::find(unfit.begin(), unfit.end(), worker.info.host()) == unfit.end();
}

bool Stepper::IsSettled(const WorkerEntry& worker) const {
  const microseconds grow_after = state_.policy.elastic_grow_after;
  return now_.steady - worker.there_since >= grow_after * (1 << std::min(worker.losses, kMostDoublings));
}

// Stopping costs the time to start again, so not for a generation that has just begun, nor for one that is about to end.
bool Stepper::MayGrow(const JobEntry& entry) const {
  const Gang& gang = entry.record.gang();
  const v1::JobSpec& spec = entry.job().spec();
  const microseconds grow_after = state_.policy.elastic_grow_after;
  if (gang.role() != v1::TRAINER_ROLE_TRAIN || entry.job().state() != v1::JOB_STATE_RUNNING || gang.has_failure() ||
      gang.ranks_size() >= spec.distributed().max_workers() || entry.record.has_cancellation() || gang.has_stop() ||
      entry.job().has_result() || spec.kind() == "Evaluate") {
    return false;
  }
  const bool ends = std::any_of(gang.ranks().begin(), gang.ranks().end(), [](const GangRank& r) { return r.ended(); });
  const bool young = !entry.running_since.has_value() || now_.steady - *entry.running_since < grow_after;
  if (ends || young || !entry.progress.has_value()) {
    return false;
  }
  const v1::Progress& progress = *entry.progress;
  const bool nearly_done =
      progress.total_steps() > 0 && progress.eta_seconds() < std::chrono::duration<double>(grow_after).count();
  // Stops are seen between steps: in a validation the checkpoint would have to wait for its end.
  return !nearly_done && progress.section() == "train";
}

void Stepper::Grow() {
  std::vector<const JobEntry*> candidates;
  for (uint64_t number : state_.live) {
    const JobEntry& entry = state_.jobs.at(number);
    const Gang& gang = entry.record.gang();
    // One at a time, so that no worker is promised twice; and who prepares will want idle workers.
    if (gang.role() == v1::TRAINER_ROLE_PREPARE || (gang.grows() && !gang.has_failure())) {
      return;
    }
    if (MayGrow(entry)) {
      candidates.push_back(&entry);
    }
  }
  if (candidates.empty()) {
    return;
  }
  int usable = 0;
  std::vector<const WorkerEntry*> settled;
  for (const auto& [id, worker] : state_.workers) {
    usable += worker.usable();
    if (worker.idle(now_) && IsSettled(worker)) {
      settled.push_back(&worker);
    }
  }
  // A waiting job that these workers could run comes first, also if it waits for more of them or for its backoff.
  const bool wanted =
      std::any_of(state_.waiting.begin(), state_.waiting.end(), [&](const auto& place) { return usable >= place.second.needed; });
  if (settled.empty() || wanted) {
    return;
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const JobEntry* a, const JobEntry* b) {
    return a->job().spec().scheduling().priority() > b->job().spec().scheduling().priority();
  });
  for (const JobEntry* candidate : candidates) {
    std::vector<const WorkerEntry*> more;
    std::copy_if(settled.begin(), settled.end(), std::back_inserter(more),
                 [&](const WorkerEntry* worker) { return IsFit(*candidate, *worker); });
    if (!more.empty()) {
      AskToGrow(Touch(candidate->record.number()), more);
      return;
    }
  }
}

void Stepper::AskToGrow(JobEntry& entry, const std::vector<const WorkerEntry*>& more) {
  Gang& gang = *entry.record.mutable_gang();
  const int now = gang.ranks_size();
  const int then = std::min<int>(entry.job().spec().distributed().max_workers(), now + static_cast<int>(more.size()));
  std::vector<std::string> names;
  for (int i = 0; i < then - now; ++i) {
    names.push_back(more[static_cast<size_t>(i)]->id);
  }
  gang.set_grows(true);
  const std::string reason =
      absl::StrCat("grows from ", now, " to ", then, " ranks at the next step, with a checkpoint: ", absl::StrJoin(names, ", "),
                   names.size() == 1 ? " is" : " are", " idle");
  Tell(entry, reason);
  entry.record.mutable_job()->set_reason(reason);
  for (const GangRank& rank : gang.ranks()) {
    SendStop(entry, rank, false);
  }
}

// A job that trained well must not fail because a host that joined can't see its files.
bool Stepper::GoesOnWithoutHost(JobEntry& entry) {
  Gang& gang = *entry.record.mutable_gang();
  if (gang.grown_from() == 0 || gang.role() != v1::TRAINER_ROLE_PREPARE ||
      ClassOf(gang.failure().cause()) != FailureClass::kUser) {
    return false;
  }
  for (const GangRank& rank : gang.ranks()) {
    if (rank.worker_id() == gang.failure().worker_id()) {
      entry.record.add_unfit_hosts(rank.host());
      Tell(entry, absl::StrCat("host ", rank.host(), " could not prepare the dataset: the job goes on without that host"),
           v1::NOTICE_SEVERITY_WARNING);
    }
  }
  gang.set_grown_from(0);
  return true;
}

}  // namespace pixelrec::coordinator
