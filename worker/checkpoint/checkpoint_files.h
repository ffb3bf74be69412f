// A checkpoint's folder: model.safetensors (every trained tensor under the reference's name: item_llm.*, user_llm.*,
// item_emb_tokens, logit_scale), optimizer.safetensors (exp_avg.NAME, exp_avg_sq.NAME), manifest.json. Ranks that own shares each
// write theirs: model-00001-of-00004.safetensors and so on (pieced_tensors.h).
//
// Tensors are plain byte views; whoever holds the numbers converts. Threads: call from one thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/pieced_tensors.h"

namespace pixelrec::checkpoint {

inline constexpr char kModelFile[] = "model";
inline constexpr char kOptimizerFile[] = "optimizer";
inline constexpr char kFirstMoment[] = "exp_avg.";
inline constexpr char kSecondMoment[] = "exp_avg_sq.";

struct WrittenCheckpoint {
  uint64_t bytes = 0;           // of all files
  std::string manifest_digest;  // Artifact.manifest_digest
  Manifest manifest;            // with its files
};

// One rank's part of the folder: which of how many, from 0.
struct Shard {
  int index = 0;
  int count = 1;
};

// Writes one shard's two files into `dir` (made if absent), synced; -> their digests by plain name. A manifest that lies there
// vouches for files that are about to change and is removed. RESOURCE_EXHAUSTED: disk full.
absl::StatusOr<std::map<std::string, FileDigest>> WriteShard(const std::filesystem::path& dir, const Shard& shard,
                                                             absl::Span<const TensorPiece> model,
                                                             absl::Span<const TensorPiece> optimizer,
                                                             storage::FileSystem& files = storage::RealFileSystem());
// Completes the folder once all shards are written: `manifest.files` is every shard's digests.
absl::StatusOr<WrittenCheckpoint> FinishCheckpoint(const std::filesystem::path& dir, Manifest manifest,
                                                   storage::FileSystem& files = storage::RealFileSystem());

struct OpenedCheckpoint {
  Manifest manifest;
  std::unique_ptr<PiecedTensors> model;
  std::unique_ptr<PiecedTensors> optimizer;
};

// Reads and verifies every byte of every shard. Errors of ReadManifest, VerifyFiles, PiecedTensors::Open.
absl::StatusOr<OpenedCheckpoint> OpenCheckpoint(const std::filesystem::path& dir);

// May a run whose fixed facts are those of `now` go on from `saved`? Compares data, seed, batch, steps, model configurations and
// the settings that both know.
// FAILED_PRECONDITION: names each fact that differs, with both values. World size and generation may differ (rule W10).
absl::Status CheckContinues(const Manifest& saved, const Manifest& now);

}  // namespace pixelrec::checkpoint
