// A job's series of metrics, each point once and in order, across as many streams as that takes.
//
// Threads: one; stop from any.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ctl/client/job_client.h"

namespace pixelrec::ctl {

struct MetricsQuery {
  std::string job;  // its id: a name may mean another job by the time the stream is opened again
  uint64_t after_sequence = 0;
  bool follow = false;                               // until the job ends
  absl::Duration reconnect_for = absl::Minutes(10);  // a coordinator that was there may be gone so long
  absl::Duration pause = absl::Milliseconds(300);    // between two tries
};

// OK: read to its end. CANCELLED: `stop`. NOT_FOUND: no such job. UNAVAILABLE: no coordinator for `reconnect_for`.
absl::Status ReadMetrics(JobClient& client, const MetricsQuery& query, const std::function<void(const v1::MetricPoint&)>& take,
                         std::stop_token stop);

}  // namespace pixelrec::ctl
