// What a child does at its start, so that it never outlives the process that owns it.
//
// Threads: call from the main thread before others are started.
#pragma once

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pixelrec::process {

// The kernel kills this process with SIGKILL when the thread that spawned it ends. Where the parent died before that was
// arranged, this process kills itself here and the call doesn't return.
void DieWithParent(pid_t expected_parent);

// The process that made the socket pair `fd` is one end of: for a trainer, its worker. UNAVAILABLE: not a local socket.
absl::StatusOr<pid_t> PeerPid(int fd);

// Both: die with the process that made this end's socket pair and spawned us.
absl::Status DieWithPeer(int fd);

}  // namespace pixelrec::process
