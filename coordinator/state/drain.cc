// What clients ask for: workers that get no rank any more. What is kept of that is durable and goes by the worker's id, so that
// it holds for its next daemon and the next coordinator too.
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "coordinator/state/stepper.h"

namespace pixelrec::coordinator {

namespace {

absl::Status NoSuchWorker(const std::string& id) {
  return rpc::Refuse(absl::StatusCode::kNotFound, rpc::kWorkerNotFound,
                     absl::StrCat("no worker '", id, "': give an id that `pixelrecctl workers list` shows"));
}

}  // namespace

void Stepper::On(const DrainWorker& drain) {
  auto found = state_.workers.find(drain.worker_id);
  if (found == state_.workers.end()) {
    outcome_.status = NoSuchWorker(drain.worker_id);
    return;
  }
  const v1::DrainMode mode = drain.mode == v1::DRAIN_MODE_UNSPECIFIED ? v1::DRAIN_MODE_MOVE_JOBS : drain.mode;
  if (mode != v1::DRAIN_MODE_MOVE_JOBS && mode != v1::DRAIN_MODE_LET_JOBS_FINISH) {
    outcome_.status = rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kBadRequest,
                                  absl::StrCat("mode: ", static_cast<int>(mode), " is not known to this version"));
    return;
  }
  outcome_.worker_id = drain.worker_id;
  auto known = state_.worker_records.find(drain.worker_id);
  if (known != state_.worker_records.end() && Contains(known->second.request_ids(), drain.request_id)) {
    return;
  }
  SetDrain(drain.worker_id, mode, drain.request_id);
  if (mode == v1::DRAIN_MODE_MOVE_JOBS) {
    for (uint64_t number : std::vector<uint64_t>(state_.live.begin(), state_.live.end())) {
      MoveFrom(number, drain.worker_id);
    }
  }
}

void Stepper::On(const UndrainWorker& undrain) {
  if (!state_.workers.contains(undrain.worker_id)) {
    outcome_.status = NoSuchWorker(undrain.worker_id);
    return;
  }
  outcome_.worker_id = undrain.worker_id;
  auto known = state_.worker_records.find(undrain.worker_id);
  if (known == state_.worker_records.end() || Contains(known->second.request_ids(), undrain.request_id)) {
    return;
  }
  SetDrain(undrain.worker_id, v1::DRAIN_MODE_UNSPECIFIED, undrain.request_id);
}

void Stepper::SetDrain(const std::string& worker_id, v1::DrainMode mode, const std::string& request_id) {
  WorkerRecord& record = TouchWorkerRecord(worker_id);
  record.set_worker_id(worker_id);
  record.set_drain(mode);
  Remember(*record.mutable_request_ids(), request_id);
  TouchWorker(worker_id).drain = mode;
}

void Stepper::MoveFrom(uint64_t number, const std::string& worker_id) {
  const JobEntry& entry = state_.jobs.at(number);
  const Gang& gang = entry.record.gang();
  // One that ends already, for whatever reason, is formed again without this worker.
  if (gang.has_failure() || gang.has_stop() || gang.grows() || entry.record.has_cancellation() || entry.job().has_result()) {
    return;
  }
  for (const GangRank& rank : gang.ranks()) {
    if (rank.worker_id() == worker_id && !rank.ended()) {
      AskToStop(Touch(number), STOP_CAUSE_DRAIN, worker_id, absl::StrCat("worker ", worker_id, " is drained"));
      return;
    }
  }
}

}  // namespace pixelrec::coordinator
