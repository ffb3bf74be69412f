// A checkpoint that the trainers could not go on from is given up, and the one before it is used. That is nobody's fault, so no
// restart is charged; it comes to an end because there are only so many checkpoints. Training never begins again from nothing by
// itself: with no checkpoint left the job fails, and the user decides.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "coordinator/state/failures.h"
#include "coordinator/state/stepper.h"

namespace pixelrec::coordinator {

bool Stepper::FallBack(JobEntry& entry) {
  v1::Job& job = *entry.record.mutable_job();
  const v1::Failure failure = entry.record.gang().failure();
  const auto damaged = [&](const v1::Artifact& a) { return a.path() == failure.checkpoint(); };
  auto& checkpoints = *entry.record.mutable_checkpoints();
  const auto found = std::find_if(checkpoints.begin(), checkpoints.end(), damaged);
  if (found == checkpoints.end()) {
    return false;
  }
  if (found->kind() == v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT) {
    *entry.record.add_reaping()->mutable_checkpoint() = *found;  // removed with the next publication
  } else {
    *entry.record.add_damaged() = *found;
  }
  checkpoints.erase(found);
  auto& unpublished = *entry.record.mutable_unpublished();
  unpublished.erase(std::remove_if(unpublished.begin(), unpublished.end(), damaged), unpublished.end());
  if (checkpoints.empty()) {
    job.clear_checkpoint();
    *job.mutable_failure() = failure;
    EndJob(entry, v1::JOB_STATE_FAILED,
           absl::StrCat(Describe(failure), " (", CauseName(failure.cause()),
                        "; no other checkpoint is left: submit the job again with output_policy: replace to train from the "
                        "beginning)"));
    return true;
  }
  *job.mutable_checkpoint() = *checkpoints.rbegin();
  entry.retry_at = now_.steady;
  SetState(entry, v1::JOB_STATE_RECOVERING,
           absl::StrCat(Describe(failure), "; goes on from the one before, ", job.checkpoint().path(), ", step ",
                        job.checkpoint().step()));
  return true;
}

}  // namespace pixelrec::coordinator
