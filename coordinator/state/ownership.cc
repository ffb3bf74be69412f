// Whose a job is, and what that keeps others from.
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "coordinator/state/stepper.h"

namespace pixelrec::coordinator {

namespace {

std::string OwnerOf(const v1::Job& job) { return job.owner().empty() ? "nobody known" : job.owner(); }

}  // namespace

bool Stepper::MayChange(const JobEntry& entry, const Caller& by) {
  if (by.may_change_any || entry.job().owner() == by.name) {
    return true;
  }
  outcome_.status = rpc::Refuse(absl::StatusCode::kPermissionDenied, rpc::kJobOfAnother,
                                absl::StrCat("job ", entry.job().job_id(), " belongs to ", OwnerOf(entry.job()), ", not to ",
                                             by.name, ": ask its owner or an admin"));
  return false;
}

// A job that is to start where another's results lie would remove them, or go on from them in their owner's name.
absl::Status Stepper::CheckOutputOwner(const Submit& submit) const {
  const v1::OutputPolicy policy = submit.spec.output_policy();
  if (submit.by.may_change_any || policy == v1::OUTPUT_POLICY_NEW || policy == v1::OUTPUT_POLICY_UNSPECIFIED) {
    return absl::OkStatus();
  }
  for (const auto& [number, entry] : state_.jobs) {
    if (entry.job().spec().output_dir() == submit.spec.output_dir() && entry.job().owner() != submit.by.name) {
      return rpc::Refuse(
          absl::StatusCode::kPermissionDenied, rpc::kOutputDirOfAnother,
          absl::StrCat("spec.output_dir: ", submit.spec.output_dir(), " holds results of job ", entry.job().job_id(),
                       ", which belongs to ", OwnerOf(entry.job()), ": choose another directory"));
    }
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::coordinator
