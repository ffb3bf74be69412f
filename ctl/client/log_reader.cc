#include "ctl/client/log_reader.h"

#include <utility>

#include "absl/time/clock.h"
#include "ctl/client/interruptible_pause.h"
#include "ctl/client/job_state.h"

namespace pixelrec::ctl {
namespace {

// Reads one generation's log; true: the process has ended and all of it was read.
absl::StatusOr<bool> Drain(JobClient& client, v1::ReadJobLogRequest& request, const std::function<void(absl::string_view)>& write,
                           std::stop_token stop) {
  while (!stop.stop_requested()) {
    const absl::StatusOr<v1::ReadJobLogResponse> chunk = client.ReadLog(request);
    if (!chunk.ok()) return chunk.status();
    write(chunk->data());
    // A negative offset counts from the end only once.
    request.set_offset(chunk->next_offset());
    if (chunk->data().empty()) return chunk->ended();
  }
  return false;
}

}  // namespace

absl::Status ReadLog(JobClient& client, const LogRequest& request, const std::function<void(absl::string_view)>& write,
                     std::stop_token stop) {
  const absl::StatusOr<v1::Job> named = client.Get(request.job);
  if (!named.ok()) return named.status();
  v1::ReadJobLogRequest read;
  read.set_job(named->job_id());
  read.set_rank(request.rank);
  read.set_generation(request.generation);
  read.set_offset(-request.tail_bytes);
  if (request.follow && request.generation == 0) read.set_generation(named->generation());
  absl::Time answered = absl::Now();
  while (!stop.stop_requested()) {
    const absl::StatusOr<bool> ended = Drain(client, read, write, stop);
    if (!request.follow) return ended.status();
    const bool away = absl::IsUnavailable(ended.status()) || absl::IsDeadlineExceeded(ended.status());
    // A rank that hasn't started yet has no log yet.
    const bool missing = absl::IsNotFound(ended.status());
    if (!ended.ok() && !away && !missing) return ended.status();
    if (!away) answered = absl::Now();
    if (away && absl::Now() - answered > request.patience) return ended.status();
    if (missing || (ended.ok() && *ended)) {
      const absl::StatusOr<v1::Job> job = client.Get(named->job_id());
      if (job.ok() && request.generation == 0 && job->generation() > read.generation()) {
        read.set_generation(job->generation());
        read.set_offset(0);
        continue;
      }
      if (job.ok() && (HasEnded(job->state()) || request.generation != 0)) return missing ? ended.status() : absl::OkStatus();
    }
    InterruptiblePause(request.poll_every, stop);
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::ctl
