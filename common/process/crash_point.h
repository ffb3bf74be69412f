// Places where a test makes this process die as by kill -9: the edges of what is durable. Nothing happens at them unless one was
// armed (pixelrec-coordinator --crash-at).
//
// Threads: any.
#pragma once

#include <array>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace pixelrec::process {

// In the order in which a mutation passes them; those of a compaction behind.
inline constexpr std::array<absl::string_view, 12> kCrashPoints = {
    "journal.opened",       // the file is locked and checked
    "journal.replayed",     // nothing is served yet
    "turn.decided",         // the events of a turn took their effect in memory
    "append.begun",         // of a transaction
    "append.inserted",      // all records are, the commit is to come
    "append.committed",     // durable, and nobody knows
    "turn.acts",            // before each order and each answer
    "turn.performed",       // everybody was told
    "compact.cleared",      // the records are deleted, in a transaction
    "compact.inserted",     // the snapshot is there, the commit is to come
    "compact.committed",    // the write-ahead log is still long
    "compact.checkpointed"  // and is cut short
};

// "POINT:N": dies by SIGKILL at the N-th passing of POINT. INVALID_ARGUMENT: no such point, or no number from 1 on.
absl::Status ArmCrashPoint(absl::string_view plan);

// `name`: one of kCrashPoints.
void CrashPoint(absl::string_view name);

}  // namespace pixelrec::process
