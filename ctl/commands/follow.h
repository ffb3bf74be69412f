// Following one job to its end: what `submit --follow`, `submit --wait` and `watch` share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ctl/client/interrupt.h"
#include "ctl/client/job_client.h"
#include "ctl/live/terminal.h"
#include "ctl/session.h"

namespace pixelrec::ctl {

enum class FollowStyle {
  kShow,      // bars or lines, then the result
  kQuiet,     // only the result
  kJsonLines  // one WatchJobResponse per line, nothing else
};

// Returns the exit code: of the job's state, kExitStillRunning if Ctrl-C detached, or of the error. `after_sequence`: events up
// to it are not shown.
int FollowJob(const Session& session, JobClient& client, const std::string& job, FollowStyle style, uint64_t after_sequence,
              const Interrupt& interrupt);

// The same as kShow, on the whole terminal.
int FollowOnScreen(const Session& session, JobClient& client, const std::string& job, uint64_t after_sequence,
                   const Interrupt& interrupt, std::unique_ptr<Terminal> terminal);

// " --server A" where the user had to say it, for commands in hints.
std::string ServerFlag(const Session& session);

}  // namespace pixelrec::ctl
