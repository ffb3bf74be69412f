// What a job has saved, as a table.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::ctl {

// One line per checkpoint and best model, in the order given: kind, epoch, step, size, when committed, state, path.
std::string CheckpointListText(const v1::ListCheckpointsResponse& checkpoints, absl::TimeZone zone);

// "resume point", "kept", "superseded", "damaged", and whether it isn't in its place yet.
std::string CheckpointStateText(const v1::Checkpoint& checkpoint);

// "recovery", "epoch", "best model"; the number for a kind this version doesn't know.
std::string ArtifactKindText(v1::ArtifactKind kind);

}  // namespace pixelrec::ctl
