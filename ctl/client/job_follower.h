// A job's events from any point to its end, each durable one exactly once, across as many streams as that takes: a coordinator
// that dies and comes back, a stream that reaches its deadline and a reader that fell behind all resume from the last sequence
// number seen.
//
// Threads: one; stop from any.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ctl/client/job_client.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::ctl {

class JobFollower {
 public:
  struct Observer {
    // Durable events in order, without gap or repeat; progress as it comes. `job` is the newest known state of the job.
    std::function<void(const v1::JobEvent& event, const v1::Job& job)> on_event;
    // The coordinator is gone (true) or back (false). May be empty.
    std::function<void(bool lost)> on_connection;
  };
  struct Options {
    std::string job;
    uint64_t after_sequence = 0;
    // How long a coordinator that was there may be gone.
    absl::Duration reconnect_for = absl::Minutes(10);
    // Between two tries: doubled from the first to the second.
    absl::Duration first_pause = absl::Milliseconds(100);
    absl::Duration last_pause = absl::Seconds(1);
  };

  JobFollower(JobClient& client, Options options, Observer observer);

  // Runs until the job has ended and returns it. CANCELLED: `stop`. NOT_FOUND: no such job. UNAVAILABLE: no coordinator at the
  // first try, or none within `reconnect_for` later.
  absl::StatusOr<v1::Job> Run(std::stop_token stop);

  // Of the newest durable event delivered.
  uint64_t last_sequence() const { return last_sequence_; }

 private:
  absl::Status RunOneStream(std::stop_token stop);
  void Deliver(const v1::WatchJobResponse& update);
  void SetLost(bool lost);

  JobClient& client_;
  const Options options_;
  const Observer observer_;
  v1::Job job_;
  uint64_t last_sequence_;
  bool connected_once_ = false;
  bool lost_ = false;
  absl::Time lost_since_;
};

}  // namespace pixelrec::ctl
