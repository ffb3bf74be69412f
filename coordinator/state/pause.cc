// What clients ask for: a job off its workers, and back into the queue.
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/view.h"

namespace pixelrec::coordinator {

namespace {

absl::Status Ended(const JobEntry& entry) {
  return rpc::Refuse(
      absl::StatusCode::kFailedPrecondition, rpc::kJobEnded,
      absl::StrCat("job ", entry.job().job_id(), " has ended already (", v1::JobState_Name(entry.job().state()), ")"));
}

}  // namespace

void Stepper::On(const PauseJob& pause) {
  absl::StatusOr<uint64_t> number = FindJob(state_, pause.job);
  if (!number.ok()) {
    outcome_.status = number.status();
    return;
  }
  outcome_.job_number = *number;
  const JobEntry& found = state_.jobs.at(*number);
  if (!MayChange(found, pause.by) || Contains(found.record.request_ids(), pause.request_id)) {
    return;
  }
  if (found.ended()) {
    outcome_.status = Ended(found);
    return;
  }
  if (found.record.has_cancellation()) {
    outcome_.status = rpc::Refuse(absl::StatusCode::kFailedPrecondition, rpc::kJobCancelling,
                                  absl::StrCat("job ", found.job().job_id(), " is being cancelled"));
    return;
  }
  JobEntry& entry = Touch(*number);
  Remember(*entry.record.mutable_request_ids(), pause.request_id);
  if (entry.record.has_pause() && (entry.record.pause().now() || !pause.now || !entry.gang_lives())) {
    return;  // nothing that isn't under way, or done
  }
  entry.record.mutable_pause()->set_now(pause.now);
  if (!entry.gang_lives()) {
    EndPaused(entry);
  } else if (entry.record.gang().has_failure()) {
    Tell(entry, "pause asked for: the ranks are being ended already");
  } else {
    AskToStop(entry, STOP_CAUSE_PAUSE, "", "pause asked for");
  }
}

void Stepper::On(const ResumeJob& resume) {
  absl::StatusOr<uint64_t> number = FindJob(state_, resume.job);
  if (!number.ok()) {
    outcome_.status = number.status();
    return;
  }
  outcome_.job_number = *number;
  const JobEntry& found = state_.jobs.at(*number);
  if (!MayChange(found, resume.by) || Contains(found.record.request_ids(), resume.request_id)) {
    return;
  }
  if (found.ended()) {
    outcome_.status = Ended(found);
    return;
  }
  if (!found.record.has_pause() || found.record.has_cancellation()) {
    outcome_.status = rpc::Refuse(
        absl::StatusCode::kFailedPrecondition, rpc::kJobNotPaused,
        absl::StrCat("job ", found.job().job_id(), " isn't paused (",
                     found.record.has_cancellation() ? "it is being cancelled" : v1::JobState_Name(found.job().state()), ")"));
    return;
  }
  JobEntry& entry = Touch(*number);
  Remember(*entry.record.mutable_request_ids(), resume.request_id);
  entry.record.clear_pause();
  entry.record.clear_held_priority();
  entry.record.set_waiting_since_us(now_.wall.count());
  if (entry.gang_lives()) {
    const std::string text = "resumed while it stopped: it starts again once the ranks have ended";
    Tell(entry, text);
    entry.record.mutable_job()->set_reason(text);
    return;
  }
  SetState(entry, v1::JOB_STATE_PENDING, absl::StrCat("resumed; ", WaitingReason(state_, entry, now_)));
  Reindex(*number);
}

}  // namespace pixelrec::coordinator
