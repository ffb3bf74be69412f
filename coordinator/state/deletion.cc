// What clients ask for: to forget a job that has ended.
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "coordinator/state/stepper.h"

namespace pixelrec::coordinator {

void Stepper::On(const DeleteJob& request) {
  absl::StatusOr<uint64_t> number = FindJob(state_, request.job);
  // A repeat finds the job gone, or another one of the same name.
  for (const Deletion& deletion : state_.deletions) {
    if (!request.request_id.empty() && deletion.request_id() == request.request_id && deletion.by() == request.by.name) {
      outcome_.deletion = deletion;
      return;
    }
  }
  if (!number.ok()) {
    outcome_.status = number.status();
    return;
  }
  const JobEntry& entry = state_.jobs.at(*number);
  const v1::Job& job = entry.job();
  if (!MayChange(entry, request.by)) {
    return;
  }
  if (!entry.ended()) {
    outcome_.status = rpc::Refuse(absl::StatusCode::kFailedPrecondition, rpc::kJobNotEnded,
                                  absl::StrCat("job ", job.job_id(), " hasn't ended (", v1::JobState_Name(job.state()),
                                               "): cancel it first, with `pixelrecctl cancel ", job.job_id(), "`"));
    return;
  }
  outcome_.deletion = Forget(*number, request.request_id, request.by.name);
}

Deletion Stepper::Forget(uint64_t number, const std::string& request_id, const std::string& by) {
  const JobEntry& entry = state_.jobs.at(number);
  const v1::Job& job = entry.job();
  Deletion deletion;
  deletion.set_number(number);
  deletion.set_job_id(job.job_id());
  deletion.set_output_dir(job.spec().output_dir());
  deletion.set_request_id(request_id);
  deletion.set_owner(job.owner());
  deletion.set_submit_request_id(entry.record.request_id());
  deletion.set_next_number(state_.next_number);
  deletion.set_by(by);
  if (!state_.undo.deletions.has_value()) {
    state_.undo.deletions = state_.deletions;
  }
  state_.undo.deleted.emplace(number, std::move(state_.jobs.at(number)));
  state_.Unindex(state_.undo.deleted.at(number));
  state_.jobs.erase(number);
  state_.RememberDeletion(deletion);
  *outcome_.records.emplace_back().mutable_deletion() = deletion;
  return deletion;
}

}  // namespace pixelrec::coordinator
