#include "ctl/render/checkpoint_text.h"

#include "absl/strings/str_cat.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {

std::string ArtifactKindText(v1::ArtifactKind kind) {
  switch (kind) {
    case v1::ARTIFACT_KIND_EPOCH_CHECKPOINT:
      return "epoch";
    case v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT:
      return "recovery";
    case v1::ARTIFACT_KIND_BEST_MODEL:
      return "best model";
    default:
      return absl::StrCat(static_cast<int>(kind));
  }
}

std::string CheckpointStateText(const v1::Checkpoint& checkpoint) {
  const std::string rest = checkpoint.published() ? "" : ", not in place yet";
  switch (checkpoint.state()) {
    case v1::CHECKPOINT_STATE_SUPERSEDED:
      return "superseded" + rest;
    case v1::CHECKPOINT_STATE_DAMAGED:
      return "damaged" + rest;
    default:
      return (checkpoint.resume_point() ? "resume point" : "kept") + rest;
  }
}

std::string CheckpointListText(const v1::ListCheckpointsResponse& checkpoints, absl::TimeZone zone) {
  if (checkpoints.checkpoints().empty()) return "no checkpoints\n";
  Table table({{"KIND"},
               {"EPOCH", Table::Align::kRight},
               {"STEP", Table::Align::kRight},
               {"SIZE", Table::Align::kRight},
               {"COMMITTED"},
               {"GEN", Table::Align::kRight},
               {"STATE"},
               {"PATH"}});
  for (const v1::Checkpoint& checkpoint : checkpoints.checkpoints()) {
    const v1::Artifact& artifact = checkpoint.artifact();
    table.Add({ArtifactKindText(artifact.kind()), absl::StrCat(artifact.epoch()), absl::StrCat(artifact.step()),
               artifact.bytes() > 0 ? BytesText(artifact.bytes()) : "-", DateText(checkpoint.commit_time(), zone),
               absl::StrCat(artifact.generation()), CheckpointStateText(checkpoint), artifact.path()});
  }
  return table.Text();
}

}  // namespace pixelrec::ctl
