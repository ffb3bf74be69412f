// manifest.json of a checkpoint: what was trained, how far, and the size and digest of every file. A checkpoint is its manifest:
// a folder without a valid one is none. Format: docs/formats.md.
//
// Threads: pure functions of the file system.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/storage/filesystem.h"
#include "worker/checkpoint/digest.h"
#include "worker/checkpoint/finished_epoch.h"

namespace pixelrec::checkpoint {

inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr int64_t kManifestVersion = 1;

enum class CheckpointKind { kEpoch, kRecovery };  // checkpoint-epoch-N/, recovery/step-N/

struct Manifest {
  CheckpointKind kind = CheckpointKind::kEpoch;
  std::string job_name;
  std::string job_id;
  // Who wrote it.
  std::string program_version;
  int64_t world_size = 1;
  uint64_t generation = 0;
  // How far: whole epochs done, optimiser steps done since the start of training, and of the epoch in hand.
  int64_t epoch = 0;
  int64_t step = 0;
  int64_t step_in_epoch = 0;
  // AdamW updates applied: step less the ones skipped for non-finite gradients (rule W5). Its bias correction counts these.
  int64_t updates = 0;
  // What the next step depends on besides the tensors.
  uint64_t seed = 0;
  int64_t global_batch_size = 0;
  int64_t total_steps = 0;
  std::string data_hash;
  std::string item_config_digest;  // xxh3 of the two config.json
  std::string user_config_digest;
  // Settings that change what is computed, by their key in job.yaml ("spec.model.freeze" -> "item_llm"). One that an older
  // manifest doesn't have is not compared.
  std::map<std::string, std::string> settings;
  std::string compute_type;  // "fp32" or "bf16"; may change; empty in an older manifest
  // What is carried on: digest of the samples so far, best validation loss, training loss over the epoch in hand.
  std::string sample_digest;
  std::optional<double> best_validation_loss;
  double epoch_loss_sum = 0;  // over valid rows
  int64_t epoch_loss_rows = 0;
  int64_t samples = 0;                // of all steps so far, all ranks
  int64_t tokens = 0;                 // item tokens encoded so far, all ranks
  std::vector<FinishedEpoch> epochs;  // whole ones, ascending; none in an older manifest
  // Rule M6 in compat: what weight decay has left of each tensor that is never read, by its canonical name; empty: all.
  std::map<std::string, double> unread_decay;
  std::map<std::string, FileDigest> files;  // by plain name
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

// INVALID_ARGUMENT: a number that is not finite.
absl::StatusOr<std::string> FormatManifest(const Manifest& manifest);
// INVALID_ARGUMENT: not a manifest. UNIMPLEMENTED: a newer format. DATA_LOSS: its own digest doesn't fit (a flipped bit, an
// edit).
absl::StatusOr<Manifest> ParseManifest(absl::string_view json, absl::string_view file_name);

// Durably writes <dir>/manifest.json, last of all files, and syncs `dir`; its xxh3 is Artifact.manifest_digest.
absl::StatusOr<FileDigest> WriteManifest(const std::filesystem::path& dir, const Manifest& manifest,
                                         storage::FileSystem& files = storage::RealFileSystem());
// NOT_FOUND: no manifest.json.
absl::StatusOr<Manifest> ReadManifest(const std::filesystem::path& dir);

// Every file of `files` lies in `dir`, with its size and digest: sizes first, then every byte is read.
// DATA_LOSS: "FILE: truncated: ..." or "FILE: damaged: ...". NOT_FOUND: a file is missing.
absl::Status VerifyFiles(const std::filesystem::path& dir, const std::map<std::string, FileDigest>& files);

struct CheckpointPlace {
  std::filesystem::path path;
  Manifest manifest;
};
struct CheckpointSearch {
  std::optional<CheckpointPlace> newest;  // verified
  std::vector<std::string> skipped;       // "PATH: why", newest first; tell the user
};
// Among <output_dir>/checkpoint-epoch-N and <output_dir>/recovery/step-N, the valid one with most steps. An absent folder holds
// none.
absl::StatusOr<CheckpointSearch> FindNewestCheckpoint(const std::filesystem::path& output_dir);

}  // namespace pixelrec::checkpoint
