// A rank's log from its beginning, or its newest bytes, on through later generations if followed.
//
// Threads: one; stop from any.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ctl/client/job_client.h"

namespace pixelrec::ctl {

struct LogRequest {
  std::string job;
  int rank = 0;
  uint64_t generation = 0;  // 0: the newest
  int64_t tail_bytes = 0;   // 0: from the beginning
  bool follow = false;
  absl::Duration poll_every = absl::Milliseconds(300);
  // How long a followed log's worker or coordinator may be gone.
  absl::Duration patience = absl::Minutes(1);
};

// NOT_FOUND: no such job or log. OK: read to its end, or stopped.
absl::Status ReadLog(JobClient& client, const LogRequest& request, const std::function<void(absl::string_view)>& write,
                     std::stop_token stop);

}  // namespace pixelrec::ctl
