// `pixelrecctl local child SUPERVISOR_PID PROGRAM ARGUMENT...`: what a supervisor starts in place of a daemon. It asks the kernel
// to be killed when the supervisor ends, then becomes the daemon, which keeps process id and wish.
//
// Not parsed like other commands, because every argument behind PROGRAM is the daemon's.
#pragma once

#include <optional>

namespace pixelrec::ctl {

// Nothing: these are other arguments. An exit code: the daemon could not be started. Doesn't return where it could.
std::optional<int> RunTrampoline(int argc, char** argv);

}  // namespace pixelrec::ctl
