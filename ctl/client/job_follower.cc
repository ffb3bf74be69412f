#include "ctl/client/job_follower.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "ctl/client/interruptible_pause.h"
#include "ctl/client/job_state.h"

namespace pixelrec::ctl {
namespace {

// A stream that ended so is opened again from where it stopped.
bool MayResume(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

}  // namespace

JobFollower::JobFollower(JobClient& client, Options options, Observer observer)
    : client_(client), options_(std::move(options)), observer_(std::move(observer)), last_sequence_(options_.after_sequence) {}

void JobFollower::SetLost(bool lost) {
  if (lost && !lost_) lost_since_ = absl::Now();
  if (lost != lost_ && observer_.on_connection) observer_.on_connection(lost);
  lost_ = lost;
}

void JobFollower::Deliver(const v1::WatchJobResponse& update) {
  connected_once_ = true;
  SetLost(false);
  if (update.has_job()) job_ = update.job();
  if (!update.has_event()) return;
  const uint64_t sequence = update.event().sequence();
  if (sequence != 0) {
    if (sequence <= last_sequence_) return;
    last_sequence_ = sequence;
  }
  observer_.on_event(update.event(), job_);
}

absl::Status JobFollower::RunOneStream(std::stop_token stop) {
  v1::WatchJobRequest request;
  request.set_job(options_.job);
  request.set_after_sequence(last_sequence_);
  return client_.Watch(
      request,
      [this](const v1::WatchJobResponse& update) {
        Deliver(update);
        return true;
      },
      std::move(stop));
}

absl::StatusOr<v1::Job> JobFollower::Run(std::stop_token stop) {
  absl::Duration pause = options_.first_pause;
  while (true) {
    const uint64_t before = last_sequence_;
    const absl::Status status = RunOneStream(stop);
    if (stop.stop_requested()) return absl::CancelledError("detached");
    if (status.ok()) {
      // The last state change came with the job; a stream that began after it did not, so ask.
      absl::StatusOr<v1::Job> job = client_.Get(options_.job);
      if (job.ok() && HasEnded(job->state())) return job;
      if (!job.ok() && !MayResume(job.status())) return job.status();
    } else if (!MayResume(status) || (!connected_once_ && absl::IsUnavailable(status))) {
      return status;
    }
    if (!status.ok() && absl::IsUnavailable(status)) SetLost(true);
    if (lost_ && absl::Now() - lost_since_ > options_.reconnect_for) return status;
    if (last_sequence_ != before) pause = options_.first_pause;
    InterruptiblePause(pause, stop);
    if (stop.stop_requested()) return absl::CancelledError("detached");
    pause = std::min(pause * 2, options_.last_pause);
  }
}

}  // namespace pixelrec::ctl
