#include "worker/checkpoint/checkpoint_files.h"

#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::checkpoint {

absl::StatusOr<WrittenCheckpoint> WriteCheckpoint(const std::filesystem::path& dir, Manifest manifest,
                                                  absl::Span<const TensorInfo> model, absl::Span<const TensorInfo> optimizer) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) return storage::ErrnoStatus(error.value(), "cannot create", dir);
  // A manifest of an earlier try would vouch for files that are about to change.
  std::filesystem::remove(dir / kManifestFile, error);
  if (error) return storage::ErrnoStatus(error.value(), "cannot remove", dir / kManifestFile);
  manifest.files.clear();
  for (const auto& [name, tensors] : {std::pair(kModelFile, model), std::pair(kOptimizerFile, optimizer)}) {
    auto digest = WriteTensors(dir / name, tensors);
    if (!digest.ok()) return digest.status();
    manifest.files[name] = *std::move(digest);
  }
  auto manifest_digest = WriteManifest(dir, manifest);
  if (!manifest_digest.ok()) return manifest_digest.status();
  if (auto status = storage::SyncPath(dir); !status.ok()) return status;

  WrittenCheckpoint written{std::filesystem::file_size(dir / kManifestFile, error), *std::move(manifest_digest),
                            std::move(manifest)};
  for (const auto& [name, digest] : written.manifest.files) written.bytes += digest.bytes;
  return written;
}

absl::StatusOr<OpenedCheckpoint> OpenCheckpoint(const std::filesystem::path& dir) {
  OpenedCheckpoint opened;
  auto manifest = ReadManifest(dir);
  if (!manifest.ok()) return manifest.status();
  opened.manifest = *std::move(manifest);
  for (const char* name : {kModelFile, kOptimizerFile}) {
    if (opened.manifest.files.count(name) == 0) {
      return absl::InvalidArgumentError(absl::StrCat((dir / kManifestFile).string(), ": files: no ", name));
    }
  }
  if (auto status = VerifyFiles(dir, opened.manifest.files); !status.ok()) return status;
  for (auto [name, file] : {std::pair(kModelFile, &opened.model), std::pair(kOptimizerFile, &opened.optimizer)}) {
    auto tensors = SafetensorsFile::Open(dir / name);
    if (!tensors.ok()) return tensors.status();
    *file = *std::move(tensors);
  }
  return opened;
}

absl::Status CheckContinues(const Manifest& saved, const Manifest& now) {
  std::vector<std::string> differences;
  const auto compare = [&](absl::string_view what, const auto& then, const auto& current) {
    if (then != current) differences.push_back(absl::StrCat(what, ": the checkpoint has ", then, ", this job ", current));
  };
  compare("data_hash", saved.data_hash, now.data_hash);
  compare("seed", saved.seed, now.seed);
  compare("global_batch_size", saved.global_batch_size, now.global_batch_size);
  compare("total_steps", saved.total_steps, now.total_steps);
  compare("item model's config", saved.item_config_digest, now.item_config_digest);
  compare("user model's config", saved.user_config_digest, now.user_config_digest);
  const auto shown = [](const std::string& value) { return value.empty() ? "none" : value; };
  for (const auto& [key, value] : saved.settings) {
    const auto current = now.settings.find(key);
    if (current != now.settings.end()) compare(key, shown(value), shown(current->second));
  }
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the checkpoint belongs to another training: ", absl::StrJoin(differences, "; "),
                   "; restore these, or start anew with output_policy new or replace"));
}

}  // namespace pixelrec::checkpoint
