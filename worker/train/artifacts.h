// Checkpoints and best_model/ of a training session, written whole into a staging folder of this generation; the coordinator's
// commit moves them to their final place. And the way back.
//
// Threads: the training thread. Rank 0 writes (every rank holds the same state while ZeRO is off).
#pragma once

#include <filesystem>

#include "absl/status/statusor.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/manifest.h"
#include "worker/train/session.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// checkpoint-epoch-N/ or recovery/step-N/ with weights, moments and position. RESOURCE_EXHAUSTED: no space; earlier checkpoints
// stay.
absl::StatusOr<ArtifactRecord> StageCheckpoint(const Session& session, ArtifactKind kind);

// best_model/: both LLMs as model directories, the embedding token and the logit scale.
absl::StatusOr<ArtifactRecord> StageBestModel(const Session& session, double validation_loss);

// The best_model/ that lies in output_dir, as an artifact of this generation with nothing staged: committing it leaves it where
// it is. NOT_FOUND: none. DATA_LOSS: damaged.
absl::StatusOr<ArtifactRecord> AdoptBestModel(const Session& session);

// Weights, moments and position of a committed checkpoint. FAILED_PRECONDITION: of another run (which facts differ). DATA_LOSS:
// damaged.
absl::Status RestoreCheckpoint(const std::filesystem::path& path, Session& session);

// Weights of best_model/ alone: for the final evaluation, and for tools that read a trained model.
void CopyBestModelWeights(const checkpoint::BestModel& best, dist::FlatParameters& parameters);
absl::Status LoadBestModelWeights(const std::filesystem::path& path, dist::FlatParameters& parameters);

// Weights of a checkpoint alone, and its manifest: for tools that read a trained model. Errors of checkpoint::OpenCheckpoint;
// DATA_LOSS: a tensor has another shape than the model's.
absl::StatusOr<checkpoint::Manifest> LoadCheckpointWeights(const std::filesystem::path& path, dist::FlatParameters& parameters);

// Removes staging folders that generations before `session`'s left behind.
void RemoveStaleStaging(const Session& session);

}  // namespace pixelrec::train
