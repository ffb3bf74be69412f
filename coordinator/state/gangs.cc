// The life of a generation: start, stop, failure, end, and what follows for its job.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/state/failures.h"
#include "coordinator/state/reaping.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/stop.h"
#include "coordinator/state/view.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

using google::protobuf::util::TimeUtil;
using std::chrono::microseconds;

namespace {

// A rank that announced its own failure gets this long to end by itself.
constexpr std::chrono::milliseconds kFarewell{5000};
// Ranks of the gang that ended for the one to come; 0: it ended for another reason.
int GrownFrom(const Gang& before) {
  if (before.has_failure() || before.has_stop()) {
    return 0;
  }
  return before.grows() ? before.ranks_size() : before.grown_from();
}

}  // namespace

void Stepper::StartGang(JobEntry& entry, v1::TrainerRole role, const std::vector<std::string>& worker_ids) {
  const bool prepare = role == v1::TRAINER_ROLE_PREPARE;
  v1::Job& job = *entry.record.mutable_job();
  job.set_generation(job.generation() + 1);
  entry.seen.clear();
  entry.kill_at.reset();
  entry.retry_at = microseconds(0);
  entry.progress.reset();
  entry.positions.clear();
  entry.running_since.reset();
  entry.counted_until.reset();
  Gang gang;
  gang.set_role(role);
  gang.set_grown_from(GrownFrom(entry.record.gang()));
  for (const std::string& id : worker_ids) {
    WorkerEntry& worker = TouchWorker(id);
    GangRank& rank = *gang.add_ranks();
    rank.set_rank(prepare ? 0 : gang.ranks_size() - 1);
    rank.set_worker_id(id);
    rank.set_incarnation(worker.incarnation);
    rank.set_host(worker.info.host());
    worker.ranks[RankKey{job.job_id(), job.generation(), rank.rank()}] = microseconds::max();
  }
  // Later generations of the same turn keep what the first was worth, or a long run would pass for waiting.
  const Gang& before = entry.record.gang();
  if (!entry.record.has_held_priority() || (before.role() == v1::TRAINER_ROLE_PREPARE && before.grown_from() == 0)) {
    entry.record.set_held_priority(EffectivePriority(entry.record, now_.wall, state_.policy.aging));
  }
  *entry.record.mutable_gang() = std::move(gang);
  if (prepare) {
    SetState(entry, v1::JOB_STATE_PREPARING,
             absl::StrCat("prepares the dataset on ", worker_ids.front(),
                          worker_ids.size() > 1 ? absl::StrCat(" and ", worker_ids.size() - 1, " more hosts") : std::string()));
  } else {
    entry.start_deadline = now_.steady + state_.policy.start_timeout;
    job.clear_result();  // of a generation that failed after it had said so
    entry.record.clear_claims();
    std::string reason = absl::StrFormat("generation %d: %d %s", job.generation(), worker_ids.size(),
                                         worker_ids.size() == 1 ? "rank starts" : "ranks start");
    if (job.has_checkpoint()) {
      absl::StrAppend(&reason, " from step ", job.checkpoint().step());
    }
    absl::StrAppend(&reason, SizeReason(state_, entry));
    SetState(entry, v1::JOB_STATE_STARTING, reason,
             {.ranks = entry.record.gang().ranks_size(), .from_step = job.checkpoint().step()});
    // A rename that was committed but not confirmed is finished before anything can be loaded from it.
    const WorkerEntry& first = state_.workers.at(worker_ids.front());
    for (const v1::Artifact& artifact : entry.record.unpublished()) {
      SendCommit(entry, 0, first, artifact);
    }
  }
  for (const GangRank& rank : entry.record.gang().ranks()) {
    SendStart(entry, rank, state_.workers.at(rank.worker_id()));
  }
}

void Stepper::SendStart(JobEntry& entry, const GangRank& rank, const WorkerEntry& worker) {
  const v1::Job& job = entry.job();
  v1::SessionResponse message;
  v1::StartRank& start = *message.mutable_start_rank();
  start.set_job_id(job.job_id());
  start.set_generation(job.generation());
  v1::TrainerPlan& plan = *start.mutable_plan();
  plan.set_role(entry.record.gang().role());
  *plan.mutable_spec() = job.spec();
  plan.set_rank(rank.rank());
  plan.set_host_address(worker.info.advertise_address());
  plan.set_global_batch_size(entry.record.global_batch_size());
  plan.set_world_size(1);
  if (plan.role() == v1::TRAINER_ROLE_TRAIN) {
    plan.set_world_size(entry.record.gang().ranks_size());
    plan.set_data_hash(job.data_hash());
    if (job.has_checkpoint()) {
      *plan.mutable_resume_from() = job.checkpoint();
      for (const v1::EpochResult& epoch : job.epochs()) {
        if (epoch.epoch() <= job.checkpoint().epoch()) {
          *plan.add_finished_epochs() = epoch;
        }
      }
    }
  }
  Send(worker, std::move(message));
}

void Stepper::SendCommit(const JobEntry& entry, int32_t rank, const WorkerEntry& worker, const v1::Artifact& artifact) {
  // One that was given up meanwhile goes with its successor; a second order for it could find it removed already.
  if (IsGivenUp(entry.record, artifact.path())) {
    return;
  }
  v1::SessionResponse message;
  v1::CommitArtifact& commit = *message.mutable_commit_artifact();
  commit.set_job_id(entry.job().job_id());
  commit.set_generation(entry.job().generation());
  commit.set_rank(rank);
  *commit.mutable_artifact() = artifact;
  for (const std::string& path : RemovedWith(entry.record, artifact.path())) {
    commit.add_reap(path);
  }
  Send(worker, std::move(message));
}

void Stepper::SendStop(const JobEntry& entry, const GangRank& rank, bool now) {
  auto worker = state_.workers.find(rank.worker_id());
  if (worker == state_.workers.end() || worker->second.incarnation != rank.incarnation()) {
    return;
  }
  v1::SessionResponse message;
  v1::StopRank& stop = *message.mutable_stop_rank();
  stop.set_job_id(entry.job().job_id());
  stop.set_generation(entry.job().generation());
  stop.set_rank(rank.rank());
  stop.set_now(now);
  if (!now) {
    const bool cancelled = entry.record.has_cancellation();
    const bool grows = entry.record.gang().grows() && !entry.record.gang().has_failure();
    const bool stops = entry.record.gang().has_stop();
    const auto grace = cancelled        ? state_.policy.stop_grace
                       : stops || grows ? StopPatience(entry.record.gang().stop().cause())
                                        : kFarewell;
    *stop.mutable_grace() = TimeUtil::MillisecondsToDuration(grace.count());
    stop.mutable_stop()->set_checkpoint(cancelled || stops || grows);
    stop.mutable_stop()->set_reason(cancelled ? "the job was cancelled"
                                    : stops   ? StopReason(entry.record.gang().stop())
                                    : grows   ? "the job grows"
                                              : "the generation failed");
  }
  Send(worker->second, std::move(message));
}

void Stepper::StopAll(JobEntry& entry, bool now, const GangRank* except) {
  // Preparing has nothing to checkpoint.
  now = now || entry.record.gang().role() == v1::TRAINER_ROLE_PREPARE;
  due_ = true;  // the workers that were kept for it while it prepared are free for others
  for (GangRank& rank : *entry.record.mutable_gang()->mutable_ranks()) {
    if (!rank.ended() && &rank != except) {
      rank.set_stopped(true);
      SendStop(entry, rank, now);
    }
  }
}

// The first failure ends the generation and gives it its cause. A broken collective is an exception: it is what the healthy ranks
// see of another's death, so that they get no blame while the peers can still report.
void Stepper::FailGang(JobEntry& entry, const GangRank* rank, v1::Failure failure, bool ends_itself) {
  Gang& gang = *entry.record.mutable_gang();
  const bool secondary = failure.cause() == v1::FAILURE_CAUSE_COLLECTIVE;
  const bool replaces = gang.failure().cause() == v1::FAILURE_CAUSE_COLLECTIVE && !secondary;
  if (entry.record.has_cancellation() || (gang.has_failure() && !replaces)) {
    return;
  }
  if (gang.has_stop()) {
    BreakStop(entry, rank, std::move(failure));
    return;
  }
  failure.set_generation(entry.job().generation());
  failure.set_rank(rank == nullptr ? -1 : rank->rank());
  failure.set_worker_id(rank == nullptr ? "" : rank->worker_id());
  failure.set_step(entry.progress.has_value() ? entry.progress->step() : 0);
  *gang.mutable_failure() = failure;
  v1::JobEvent event;
  *event.mutable_failure() = std::move(failure);
  Append(entry, std::move(event));
  entry.start_deadline.reset();
  if (secondary) {
    entry.kill_at = now_.steady + state_.policy.blame_window;
  } else {
    entry.kill_at.reset();
    StopAll(entry, true, ends_itself ? rank : nullptr);
  }
}

void Stepper::SettleDeadlines(JobEntry& entry) {
  SettleTimeLimit(entry);
  if (entry.kill_at.has_value() && *entry.kill_at <= now_.steady) {
    JobEntry& touched = Touch(entry.record.number());
    touched.kill_at.reset();
    StopAll(touched, true);
  }
  if (entry.start_deadline.has_value() && *entry.start_deadline <= now_.steady) {
    JobEntry& touched = Touch(entry.record.number());
    touched.start_deadline.reset();
    const auto& ranks = touched.record.gang().ranks();
    auto late = std::find_if(ranks.begin(), ranks.end(), [](const GangRank& r) { return !r.started(); });
    v1::Failure failure;
    failure.set_cause(v1::FAILURE_CAUSE_START_TIMEOUT);
    failure.set_message(absl::StrFormat("did not begin to train within %.0f s",
                                        std::chrono::duration<double>(state_.policy.start_timeout).count()));
    failure.set_hint("see the rank's log; raise start_timeout in coordinator.yaml if the model is just slow to load");
    FailGang(touched, &*late, std::move(failure));
  }
}

void Stepper::SettleGang(JobEntry& entry) {
  const Gang& gang = entry.record.gang();
  for (const GangRank& rank : gang.ranks()) {
    if (!rank.ended()) {
      return;
    }
  }
  if (gang.role() == v1::TRAINER_ROLE_TRAIN && entry.record.unpublished_size() > 0) {
    // Its worker still renames them, unless it is gone; then the next generation, or nobody, does.
    auto worker = state_.workers.find(gang.ranks(0).worker_id());
    if (worker != state_.workers.end() && !worker->second.lost && worker->second.incarnation == gang.ranks(0).incarnation()) {
      return;
    }
  }
  EndGang(Touch(entry.record.number()));
}

void Stepper::EndGang(JobEntry& entry) {
  Gang& gang = *entry.record.mutable_gang();
  gang.set_over(true);
  entry.start_deadline.reset();
  entry.kill_at.reset();
  entry.running_since.reset();
  entry.positions.clear();
  CountRunTime(entry);
  entry.counted_until.reset();
  if (entry.record.has_cancellation()) {
    EndJob(entry, v1::JOB_STATE_CANCELLED, "cancelled by the user");
  } else if (gang.has_stop() || entry.record.has_pause()) {
    EndStoppedGang(entry);
  } else if (gang.has_failure()) {
    EndFailedGang(entry);
  } else if (gang.role() == v1::TRAINER_ROLE_TRAIN && entry.record.unpublished_size() > 0) {
    v1::Failure failure;
    failure.set_cause(v1::FAILURE_CAUSE_WORKER_LOST);
    failure.set_message(absl::StrCat("its worker was lost before it had published ", entry.record.unpublished(0).path()));
    failure.set_rank(0);
    failure.set_worker_id(gang.ranks(0).worker_id());
    failure.set_generation(entry.job().generation());
    *gang.mutable_failure() = failure;
    v1::JobEvent event;
    *event.mutable_failure() = std::move(failure);
    Append(entry, std::move(event));
    EndFailedGang(entry);
  } else if (gang.grows() && !entry.job().has_result()) {
    // Schedule() starts the larger one in this very step, or Park() says what is missing.
  } else if (gang.role() == v1::TRAINER_ROLE_TRAIN) {
    EndSucceeded(entry);
  }
  Reindex(entry.record.number());
}

void Stepper::EndSucceeded(JobEntry& entry) {
  const bool evaluate = entry.job().spec().kind() == "Evaluate";
  EndJob(entry, v1::JOB_STATE_SUCCEEDED, evaluate ? "evaluated" : "trained and evaluated");
}

void Stepper::EndFailedGang(JobEntry& entry) {
  if (GoesOnWithoutHost(entry)) {
    return;
  }
  v1::Job& job = *entry.record.mutable_job();
  const v1::Failure& failure = entry.record.gang().failure();
  if (failure.cause() == v1::FAILURE_CAUSE_CHECKPOINT_DAMAGED && FallBack(entry)) {
    return;
  }
  const FailureClass failure_class = ClassOf(failure.cause());
  const int limit = RestartLimit(job.spec(), failure_class);
  const int used = failure_class == FailureClass::kUser ? job.user_restarts() : job.infrastructure_restarts();

  const int64_t reached = std::max(entry.progress.has_value() ? entry.progress->step() : 0, job.checkpoint().step());
  entry.record.set_fruitless_restarts(reached > entry.record.furthest_step() ? 1 : entry.record.fruitless_restarts() + 1);
  entry.record.set_furthest_step(std::max(reached, entry.record.furthest_step()));
  const bool fruitless = BlamesJob(failure.cause()) && entry.record.fruitless_restarts() > state_.policy.fruitless_limit;

  if (fruitless || (limit >= 0 && used >= limit)) {
    *job.mutable_failure() = failure;
    std::string why = limit == 0  ? "not retried"
                      : fruitless ? absl::StrCat(state_.policy.fruitless_limit, " restarts in a row got no further")
                                  : absl::StrCat("all ", limit, " restarts are used up");
    EndJob(entry, v1::JOB_STATE_FAILED, absl::StrCat(Describe(failure), " (", CauseName(failure.cause()), "; ", why, ")"));
    return;
  }
  if (failure_class == FailureClass::kUser) {
    job.set_user_restarts(used + 1);
  } else {
    job.set_infrastructure_restarts(used + 1);
  }
  const microseconds wait =
      Backoff(job.job_id(), entry.record.fruitless_restarts(), state_.policy.backoff_floor, state_.policy.backoff_ceiling);
  entry.retry_at = now_.steady + wait;
  SetState(entry, v1::JOB_STATE_RECOVERING,
           absl::StrCat(
               Describe(failure), "; restart ", used + 1, limit < 0 ? std::string() : absl::StrCat(" of ", limit),
               job.has_checkpoint() ? absl::StrCat(" from step ", job.checkpoint().step()) : std::string(" from the beginning")));
}

void Stepper::EndJob(JobEntry& entry, v1::JobState to, const std::string& reason) {
  entry.record.set_ended_us(now_.wall.count());
  SetState(entry, to, reason);
  Reindex(entry.record.number());
}

}  // namespace pixelrec::coordinator
