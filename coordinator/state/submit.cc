// What clients ask for: submissions and cancellations.
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "coordinator/state/replay.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/view.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

using google::protobuf::util::TimeUtil;

void Stepper::On(const Submit& submit) {
  if (auto it = state_.by_request.find(RequestKey(submit.by.name, submit.request_id)); it != state_.by_request.end()) {
    const JobEntry& earlier = state_.jobs.at(it->second);
    outcome_.job_number = it->second;
    if (CanonicalBytes(earlier.job().spec()) != CanonicalBytes(submit.spec)) {
      outcome_.status = rpc::Refuse(absl::StatusCode::kAlreadyExists, rpc::kRequestIdReused,
                                    absl::StrCat("request_id '", submit.request_id, "' belongs to job ", earlier.job().job_id(),
                                                 ", which has another spec: use a new request_id"));
    }
    return;
  }
  for (const Deletion& deletion : state_.deletions) {
    if (!submit.request_id.empty() && deletion.submit_request_id() == submit.request_id && deletion.owner() == submit.by.name) {
      outcome_.status = rpc::Refuse(absl::StatusCode::kNotFound, rpc::kJobNotFound,
                                    absl::StrCat("request_id '", submit.request_id, "' made job ", deletion.job_id(),
                                                 ", which was deleted since: use a new request_id for another job"));
      return;
    }
  }
  if (auto it = state_.by_output_dir.find(submit.spec.output_dir()); it != state_.by_output_dir.end()) {
    outcome_.status = rpc::Refuse(
        absl::StatusCode::kFailedPrecondition, rpc::kOutputDirInUse,
        absl::StrCat("spec.output_dir: ", submit.spec.output_dir(), " belongs to the live job ",
                     state_.jobs.at(it->second).job().job_id(), ": choose another directory, or cancel that job first"));
    return;
  }
  if (absl::Status status = CheckOutputOwner(submit); !status.ok()) {
    outcome_.status = status;
    return;
  }
  if (!state_.undo.next_number.has_value()) {
    state_.undo.next_number = state_.next_number;
  }
  const uint64_t number = state_.next_number++;
  JobEntry& entry = Touch(number);
  entry.record.set_number(number);
  entry.record.set_request_id(submit.request_id);
  entry.record.set_global_batch_size(submit.global_batch_size);
  v1::Job& job = *entry.record.mutable_job();
  job.set_job_id(absl::StrCat(submit.spec.name(), "-", number));
  *job.mutable_spec() = submit.spec;
  job.set_owner(submit.by.name);
  *job.mutable_create_time() = TimeUtil::MicrosecondsToTimestamp(now_.wall.count());
  entry.record.set_waiting_since_us(now_.wall.count());
  Reindex(number);
  SetState(entry, v1::JOB_STATE_PENDING, WaitingReason(state_, entry, now_));
  outcome_.job_number = number;
}

void Stepper::On(const Cancel& cancel) {
  absl::StatusOr<uint64_t> number = FindJob(state_, cancel.job);
  if (!number.ok()) {
    outcome_.status = number.status();
    return;
  }
  outcome_.job_number = *number;
  const JobEntry& found = state_.jobs.at(*number);
  if (!MayChange(found, cancel.by)) {
    return;
  }
  if (!cancel.request_id.empty() && found.record.cancel_request_id() == cancel.request_id) {
    return;  // a repeat
  }
  if (found.ended()) {
    outcome_.status = rpc::Refuse(
        absl::StatusCode::kFailedPrecondition, rpc::kJobEnded,
        absl::StrCat("job ", found.job().job_id(), " has ended already (", v1::JobState_Name(found.job().state()), ")"));
    return;
  }
  const bool again = found.record.has_cancellation();
  if (again && (found.record.cancellation().now() || !cancel.now)) {
    return;  // nothing that isn't under way already
  }
  JobEntry& entry = Touch(*number);
  entry.record.set_cancel_request_id(cancel.request_id);
  entry.record.mutable_cancellation()->set_now(cancel.now);
  if (!entry.gang_lives()) {
    EndJob(entry, v1::JOB_STATE_CANCELLED,
           entry.job().generation() == 0 ? "cancelled by the user before it ran" : "cancelled by the user");
    return;
  }
  const bool killed = cancel.now || entry.record.gang().role() == v1::TRAINER_ROLE_PREPARE;
  const char* how = killed ? "the ranks are killed" : "the ranks end at the next step, with a checkpoint";
  Tell(entry, absl::StrCat("cancellation asked for: ", how));
  entry.record.mutable_job()->set_reason(absl::StrCat("cancelling: ", how));
  StopAll(entry, cancel.now);
}

}  // namespace pixelrec::coordinator
