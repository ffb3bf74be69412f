// Handing over to a one-shot command of pixelrec-trainer (docs/adr/0004).
#pragma once

#include <string>
#include <vector>

#include "ctl/session.h"

namespace pixelrec::ctl {

// Becomes the trainer: its output, its exit code, its signals. Returns, with an exit code, only if that fails.
int BecomeTrainer(const Session& session, const std::vector<std::string>& arguments);

}  // namespace pixelrec::ctl
