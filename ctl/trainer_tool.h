// One-shot commands of pixelrec-trainer (docs/adr/0004).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ctl/session.h"

namespace pixelrec::ctl {

// Becomes the trainer: its output, its exit code, its signals. Returns, with an exit code, only if that fails.
int BecomeTrainer(const Session& session, const std::vector<std::string>& arguments);

// Waits for it -> what it printed on stdout. Errors carry what it said on stderr: NOT_FOUND where it exited with 3, INTERNAL
// where a signal ended it, else UNKNOWN; or say that it can't be run.
absl::StatusOr<std::string> AskTrainer(const std::vector<std::string>& arguments);

}  // namespace pixelrec::ctl
