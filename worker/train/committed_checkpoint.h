// Opens the checkpoint that a generation goes on from, on all ranks at once: either all may load it, or none does and all say
// why.
//
// Threads: the training thread; collective.
#pragma once

#include "absl/status/statusor.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/train/session.h"

namespace pixelrec::train {

// session.job.resume_from, every byte of it verified. Errors are the same on all ranks and carry a FailureKind:
// kCheckpointDamaged (DATA_LOSS): it is gone, torn, changed, or not the one that was committed (resume_digest);
// kOutputUnwritable: some ranks find it and others don't, or may not read it; kBadData (UNIMPLEMENTED): written by a newer
// program.
absl::StatusOr<checkpoint::OpenedCheckpoint> OpenCommittedCheckpoint(const Session& session);

}  // namespace pixelrec::train
