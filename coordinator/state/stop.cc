// A generation stops for a pause, a drained worker, a job of higher priority or its time limit. Its ranks end at the next step,
// with a checkpoint; if one breaks meanwhile the others are killed, and the job loses what followed its last checkpoint, but no
// restart.
#include "coordinator/state/stop.h"

#include "absl/strings/str_cat.h"
#include "coordinator/state/failures.h"
#include "coordinator/state/stepper.h"

namespace pixelrec::coordinator {

using std::chrono::milliseconds;

milliseconds StopPatience(StopCause cause) {
  const bool others_wait = cause == STOP_CAUSE_PREEMPTION || cause == STOP_CAUSE_TIME_LIMIT;
  // There may be a validation to finish first.
  return others_wait ? std::chrono::minutes(10) : std::chrono::hours(1);
}

std::string StopReason(const Stop& stop) {
  switch (stop.cause()) {
    case STOP_CAUSE_PAUSE:
      return "the job is paused";
    case STOP_CAUSE_DRAIN:
      return absl::StrCat("worker ", stop.by(), " is drained");
    case STOP_CAUSE_PREEMPTION:
      return absl::StrCat("preempted by job ", stop.by());
    case STOP_CAUSE_TIME_LIMIT:
      return "the time limit is used up";
    default:
      return "the job stops";
  }
}

bool StopsAtOnce(const JobEntry& entry) {
  const Gang& gang = entry.record.gang();
  if (gang.role() == v1::TRAINER_ROLE_PREPARE) {
    return true;  // nothing to checkpoint
  }
  if (entry.record.has_cancellation()) {
    return entry.record.cancellation().now();
  }
  return !gang.has_stop() || gang.stop().broken() || entry.record.pause().now();
}

std::string RestartPoint(const JobEntry& entry) {
  return entry.job().has_checkpoint() ? absl::StrCat("step ", entry.job().checkpoint().step()) : "the beginning";
}

void Stepper::AskToStop(JobEntry& entry, StopCause cause, const std::string& by, const std::string& why) {
  Stop& stop = *entry.record.mutable_gang()->mutable_stop();
  // A job whose time is used up ends, whatever else is wanted of it.
  if (stop.cause() != STOP_CAUSE_TIME_LIMIT) {
    stop.set_cause(cause);
    stop.set_by(by);
  }
  const bool at_once = StopsAtOnce(entry);
  const std::string text =
      absl::StrCat(why, at_once ? ": the ranks are killed" : ": the ranks end at the next step, with a checkpoint");
  Tell(entry, text);
  entry.record.mutable_job()->set_reason(text);
  StopAll(entry, at_once);
}

void Stepper::BreakStop(JobEntry& entry, const GangRank* rank, v1::Failure failure) {
  if (StopsAtOnce(entry)) {
    return;  // killed, nobody ends well
  }
  entry.record.mutable_gang()->mutable_stop()->set_broken(true);
  failure.set_rank(rank == nullptr ? -1 : rank->rank());
  failure.set_worker_id(rank == nullptr ? "" : rank->worker_id());
  Tell(entry, absl::StrCat(Describe(failure), "; the job still stops, and goes on later from ", RestartPoint(entry)),
       v1::NOTICE_SEVERITY_WARNING);
  entry.start_deadline.reset();
  StopAll(entry, true);
}

void Stepper::EndStoppedGang(JobEntry& entry) {
  const Gang& gang = entry.record.gang();
  const bool whole = !gang.has_failure() && !gang.stop().broken() && entry.record.unpublished_size() == 0;
  if (gang.role() == v1::TRAINER_ROLE_TRAIN && entry.job().has_result() && whole) {
    EndSucceeded(entry);  // it was done before it saw that it should stop
  } else if (gang.stop().cause() == STOP_CAUSE_TIME_LIMIT) {
    EndOverTime(entry);
  } else if (entry.record.has_pause()) {
    EndPaused(entry);
  } else if (gang.stop().cause() == STOP_CAUSE_PREEMPTION) {
    EndPreempted(entry);
  }
  // Else Schedule() starts it again in this very step, or Park() says why it waits.
}

void Stepper::EndPaused(JobEntry& entry) {
  entry.retry_at = std::chrono::microseconds(0);
  entry.record.clear_claims();
  SetState(entry, v1::JOB_STATE_PAUSED, absl::StrCat("paused by the user; resumed, it goes on from ", RestartPoint(entry)));
  Reindex(entry.record.number());
}

}  // namespace pixelrec::coordinator
