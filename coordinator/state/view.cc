#include "coordinator/state/view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/state/elastic.h"
#include "coordinator/state/slots.h"
#include "coordinator/state/time_limit.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

using google::protobuf::util::TimeUtil;

namespace {

std::string Count(int count, absl::string_view what) { return absl::StrCat(count, " ", what); }

std::string Seconds(std::chrono::microseconds duration) {
  return absl::StrCat(std::max<int64_t>(0, duration.count()) / 1000000, " s");
}

std::string WorkersNow(const State& state, Now now) {
  int idle = 0, busy = 0, lost = 0, away = 0, leaving = 0, draining = 0, drained = 0;
  auto newest_loss = std::chrono::microseconds::min();
  for (const auto& [id, worker] : state.workers) {
    if (worker.lost) {
      ++lost;
      newest_loss = std::max(newest_loss, worker.lost_since);
    } else if (worker.drain != v1::DRAIN_MODE_UNSPECIFIED) {
      ++(worker.ranks.empty() ? drained : draining);
    } else if (worker.session == 0) {
      ++away;
    } else if (worker.ranks.empty()) {
      ++(worker.idle(now) ? idle : leaving);
    } else {
      ++busy;
    }
  }
  std::vector<std::string> parts = {Count(idle, "idle")};
  if (busy > 0) {
    parts.push_back(Count(busy, "busy"));
  }
  if (draining > 0) {
    parts.push_back(Count(draining, "draining"));
  }
  if (drained > 0) {
    parts.push_back(Count(drained, "drained"));
  }
  if (leaving > 0) {
    parts.push_back(Count(leaving, "leaving"));
  }
  if (away > 0) {
    parts.push_back(Count(away, "reconnecting"));
  }
  if (lost > 0) {
    parts.push_back(absl::StrCat(Count(lost, "lost"), " ", Seconds(now.steady - newest_loss), " ago"));
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace

std::string WaitingReason(const State& state, const JobEntry& entry, Now now) {
  const int needed = std::max(1, entry.job().spec().distributed().min_workers());
  const int most = entry.job().spec().distributed().max_workers();
  std::string reason = absl::StrCat("needs ", needed, most > needed ? absl::StrCat(" to ", most) : "",
                                    std::max(needed, most) == 1 ? " worker" : " workers", "; ", WorkersNow(state, now));
  if (const int unfit = UnfitWorkers(state, entry); unfit > 0) {
    absl::StrAppend(&reason, "; ", unfit, unfit == 1 ? " is on a host" : " are on hosts", " that could not prepare the dataset");
  }
  if (entry.retry_at > now.steady) {
    absl::StrAppend(&reason, "; restarts in ", Seconds(entry.retry_at - now.steady + std::chrono::milliseconds(999)));
  }
  if (entry.record.claims()) {
    absl::StrAppend(&reason, "; jobs of lower priority stop to make room");
  }
  int kept = 0;
  for (uint64_t number : state.live) {
    kept += KeptFor(state.jobs.at(number));
  }
  if (kept > 0) {
    absl::StrAppend(&reason, "; ", kept, kept == 1 ? " is" : " are", " kept for a job that prepares its dataset");
  }
  // Counting stops where the exact number says nothing more.
  constexpr int kCounted = 100;
  int ahead = 0;
  auto self = state.waiting.lower_bound(PlaceOf(entry.record, state.policy.aging));
  while (self != state.waiting.begin() && ahead < kCounted) {
    --self;
    ++ahead;
  }
  if (ahead > 0) {
    absl::StrAppend(&reason, "; ", ahead == kCounted ? "at least " : "", ahead, ahead == 1 ? " job is" : " jobs are", " ahead");
  }
  return reason;
}

int UnfitWorkers(const State& state, const JobEntry& entry) {
  if (entry.record.unfit_hosts_size() == 0) {
    return 0;
  }
  return static_cast<int>(std::count_if(state.workers.begin(), state.workers.end(), [&](const auto& worker) {
    return worker.second.connected() && !IsFit(entry, worker.second);
  }));
}

std::string SizeReason(const State& state, const JobEntry& entry) {
  const v1::DistributedSpec& distributed = entry.job().spec().distributed();
  const Gang& gang = entry.record.gang();
  std::vector<std::string> parts;
  if (gang.grown_from() > 0 && gang.ranks_size() > gang.grown_from()) {
    parts.push_back(absl::StrCat("grown from ", gang.grown_from()));
  }
  if (distributed.min_workers() < distributed.max_workers() && gang.ranks_size() < distributed.max_workers()) {
    int elsewhere = 0, lost = 0;
    for (const auto& [id, worker] : state.workers) {
      lost += worker.lost;
      elsewhere += !worker.ranks.empty() && worker.ranks.rbegin()->first.job_id != entry.job().job_id();
    }
    parts.push_back(absl::StrCat(distributed.max_workers(), " wanted"));
    if (elsewhere > 0) {
      parts.push_back(Count(elsewhere, "busy"));
    }
    if (lost > 0) {
      parts.push_back(Count(lost, "lost"));
    }
  }
  return parts.empty() ? "" : absl::StrCat(" (", absl::StrJoin(parts, ", "), ")");
}

v1::Job ViewJob(const State& state, const JobEntry& entry, Now now) {
  v1::Job job = entry.job();
  if (entry.progress.has_value()) {
    *job.mutable_progress() = *entry.progress;
  }
  if (const auto ran = RunTime(entry, now); ran.count() > 0) {
    *job.mutable_run_time() = TimeUtil::MicrosecondsToDuration(ran.count());
  }
  if (entry.record.gang().role() == v1::TRAINER_ROLE_TRAIN) {
    for (const GangRank& rank : entry.record.gang().ranks()) {
      v1::RankPlacement& placement = *job.add_ranks();
      placement.set_rank(rank.rank());
      placement.set_worker_id(rank.worker_id());
      placement.set_pid(rank.ended() ? 0 : rank.pid());
    }
  }
  if (entry.waits() && entry.job().state() == v1::JOB_STATE_PENDING) {
    job.set_reason(WaitingReason(state, entry, now));
  } else if (entry.waits()) {
    job.set_reason(absl::StrCat(entry.job().reason(), "; ", WaitingReason(state, entry, now)));
  }
  return job;
}

v1::WorkerState StateOf(const WorkerEntry& worker) {
  if (worker.lost) {
    return v1::WORKER_STATE_LOST;
  }
  if (worker.drain != v1::DRAIN_MODE_UNSPECIFIED) {
    return worker.ranks.empty() ? v1::WORKER_STATE_DRAINED : v1::WORKER_STATE_DRAINING;
  }
  return worker.ranks.empty() ? v1::WORKER_STATE_IDLE : v1::WORKER_STATE_BUSY;
}

v1::Worker ViewWorker(const WorkerEntry& worker) {
  v1::Worker view;
  view.set_worker_id(worker.id);
  view.set_state(StateOf(worker));
  view.set_drain_mode(worker.drain);
  view.set_host(worker.info.host());
  view.set_device(worker.info.device());
  view.set_version(worker.info.version());
  view.set_memory_bytes(worker.info.memory_bytes());
  view.set_metrics_address(worker.info.metrics_address());
  view.set_advertise_address(worker.info.advertise_address());
  view.set_incarnation(worker.incarnation);
  *view.mutable_last_beat_time() = TimeUtil::MicrosecondsToTimestamp(worker.last_beat_wall.count());
  if (!worker.ranks.empty()) {
    const RankKey& newest = worker.ranks.rbegin()->first;
    view.set_job_id(newest.job_id);
    view.set_rank(newest.rank);
  }
  return view;
}

}  // namespace pixelrec::coordinator
