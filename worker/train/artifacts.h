// Checkpoints and best_model/ of a training session: what is in them, and the way back. They are written into a staging folder of
// this generation; the coordinator's commit moves them to their final place. Who writes checkpoints: checkpoint_writer.h.
//
// Threads: the training thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/manifest.h"
#include "worker/train/session.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// A checkpoint that is about to be written: where to, and of which step.
ArtifactRecord CheckpointRecord(const Session& session, ArtifactKind kind);
// Its manifest, but for the files.
checkpoint::Manifest ManifestOf(const Session& session, ArtifactKind kind);

// Every trained tensor whole, on the CPU; empty on ranks other than 0. Collective.
using WholeWeights = std::map<std::string, at::Tensor>;
WholeWeights GatherWeights(const Session& session);

// best_model/: both LLMs as model directories, the embedding token and the logit scale. Rank 0. Nothing stays of one that can't
// be written.
absl::StatusOr<ArtifactRecord> StageBestModel(const Session& session, const WholeWeights& weights, double validation_loss);

// The best_model/ that lies in output_dir, as an artifact of this generation with nothing staged: committing it leaves it where
// it is. NOT_FOUND: none. DATA_LOSS: damaged.
absl::StatusOr<ArtifactRecord> AdoptBestModel(const Session& session);

// Weights, moments and position of job.resume_from. FAILED_PRECONDITION: of another run (which facts differ). Errors of
// OpenCommittedCheckpoint. Collective.
absl::Status RestoreCheckpoint(Session& session);

// Weights of best_model/ alone: for the final evaluation, and for tools that read a trained model.
void CopyBestModelWeights(const checkpoint::BestModel& best, dist::FlatParameters& parameters);
absl::Status LoadBestModelWeights(const std::filesystem::path& path, dist::FlatParameters& parameters);

// Weights of a checkpoint alone, and its manifest: for tools that read a trained model. Errors of checkpoint::OpenCheckpoint;
// DATA_LOSS: a tensor has another shape than the model's.
absl::StatusOr<checkpoint::Manifest> LoadCheckpointWeights(const std::filesystem::path& path, dist::FlatParameters& parameters);

// Removes what generations before `session`'s left behind: staging folders, recovery checkpoints reaped half way.
void RemoveLeftovers(const Session& session);

}  // namespace pixelrec::train
