// A checkpoint's folder: model.safetensors (every trained tensor under the reference's name: item_llm.*, user_llm.*,
// item_emb_tokens, logit_scale), optimizer.safetensors (exp_avg.NAME, exp_avg_sq.NAME), manifest.json.
//
// Tensors are plain byte views; whoever holds the numbers converts. Threads: call from one thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::checkpoint {

inline constexpr char kModelFile[] = "model.safetensors";
inline constexpr char kOptimizerFile[] = "optimizer.safetensors";
inline constexpr char kFirstMoment[] = "exp_avg.";
inline constexpr char kSecondMoment[] = "exp_avg_sq.";

struct WrittenCheckpoint {
  uint64_t bytes = 0;           // of all files
  std::string manifest_digest;  // Artifact.manifest_digest
  Manifest manifest;            // with its files
};

// Writes the whole folder `dir` (made if absent; what an earlier try left there is replaced), everything synced, the manifest
// last. `manifest.files` is filled here. RESOURCE_EXHAUSTED: disk full.
absl::StatusOr<WrittenCheckpoint> WriteCheckpoint(const std::filesystem::path& dir, Manifest manifest,
                                                  absl::Span<const TensorInfo> model, absl::Span<const TensorInfo> optimizer);

struct OpenedCheckpoint {
  Manifest manifest;
  std::unique_ptr<SafetensorsFile> model;
  std::unique_ptr<SafetensorsFile> optimizer;
};

// Reads and verifies every byte. Errors of ReadManifest, VerifyFiles, SafetensorsFile::Open.
absl::StatusOr<OpenedCheckpoint> OpenCheckpoint(const std::filesystem::path& dir);

// May a run whose fixed facts are those of `now` go on from `saved`? Compares data, seed, batch, steps, model configurations and
// the settings that both know.
// FAILED_PRECONDITION: names each fact that differs, with both values. World size and generation may differ (rule W10).
absl::Status CheckContinues(const Manifest& saved, const Manifest& now);

}  // namespace pixelrec::checkpoint
