// Whether the disk holds what the ranks are about to write, asked before anything is written.
//
// Threads: the training thread; collective.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/train/session.h"

namespace pixelrec::train {

// Bytes of this rank's shard of a checkpoint: weights and both moments of what it owns, headers, a margin.
uint64_t ShardBytes(const Session& session);

// All ranks write into output_dir, so what they need together must fit. RESOURCE_EXHAUSTED, alike on all ranks: "room for ... in
// DIR, a checkpoint needs ...". A disk that can't be asked is taken to have room: writing will tell.
absl::Status CheckRoomForCheckpoint(const Session& session);

}  // namespace pixelrec::train
