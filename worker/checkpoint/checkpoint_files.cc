#include "worker/checkpoint/checkpoint_files.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::checkpoint {

namespace {

constexpr char kExtension[] = ".safetensors";

std::string ShardName(absl::string_view kind, const Shard& shard) {
  if (shard.count == 1) return absl::StrCat(kind, kExtension);
  return absl::StrFormat("%s-%05d-of-%05d%s", kind, shard.index + 1, shard.count, kExtension);
}

// The files of one kind that the manifest vouches for: the one, or shards 1 to N of N. Their number stands in their names.
absl::StatusOr<std::vector<std::filesystem::path>> ShardsOf(absl::string_view kind, const std::filesystem::path& dir,
                                                            const Manifest& manifest) {
  const auto listed = [&](const Shard& shard) { return manifest.files.contains(ShardName(kind, shard)); };
  if (listed({0, 1})) return std::vector{dir / ShardName(kind, {0, 1})};
  const auto named = [&](const auto& file) { return absl::StartsWith(file.first, absl::StrCat(kind, "-")); };
  const auto count = static_cast<int>(std::count_if(manifest.files.begin(), manifest.files.end(), named));
  std::vector<std::filesystem::path> paths;
  for (int i = 0; i < count; ++i) {
    paths.push_back(dir / ShardName(kind, {i, count}));
    if (count == 1 || !listed({i, count})) paths.clear();
    if (paths.empty()) break;
  }
  if (paths.empty()) {
    return absl::InvalidArgumentError(absl::StrCat((dir / kManifestFile).string(), ": files: no ", kind, kExtension,
                                                   ", nor a whole set of ", kind, "-00001-of-N", kExtension));
  }
  return paths;
}

}  // namespace

absl::StatusOr<std::map<std::string, FileDigest>> WriteShard(const std::filesystem::path& dir, const Shard& shard,
                                                             absl::Span<const TensorPiece> model,
                                                             absl::Span<const TensorPiece> optimizer,
                                                             storage::FileSystem& files) {
  if (auto status = storage::CreateFolders(dir.parent_path(), dir, files); !status.ok()) return status;
  if (auto status = files.RemoveFile(dir / kManifestFile); !status.ok()) return status;
  std::map<std::string, FileDigest> digests;
  for (const auto& [kind, tensors] : {std::pair(kModelFile, model), std::pair(kOptimizerFile, optimizer)}) {
    const std::string name = ShardName(kind, shard);
    auto digest = WritePieces(dir / name, tensors, files);
    if (!digest.ok()) return digest.status();
    digests[name] = *std::move(digest);
  }
  if (auto status = files.SyncFolder(dir); !status.ok()) return status;
  return digests;
}

absl::StatusOr<WrittenCheckpoint> FinishCheckpoint(const std::filesystem::path& dir, Manifest manifest,
                                                   storage::FileSystem& files) {
  auto digest = WriteManifest(dir, manifest, files);
  if (!digest.ok()) return digest.status();
  WrittenCheckpoint written{digest->bytes, std::move(digest->xxh3), std::move(manifest)};
  for (const auto& [name, file] : written.manifest.files) written.bytes += file.bytes;
  return written;
}

absl::StatusOr<OpenedCheckpoint> OpenCheckpoint(const std::filesystem::path& dir) {
  OpenedCheckpoint opened;
  auto manifest = ReadManifest(dir);
  if (!manifest.ok()) return manifest.status();
  opened.manifest = *std::move(manifest);
  auto model = ShardsOf(kModelFile, dir, opened.manifest), optimizer = ShardsOf(kOptimizerFile, dir, opened.manifest);
  if (!model.ok()) return model.status();
  if (!optimizer.ok()) return optimizer.status();
  if (auto status = VerifyFiles(dir, opened.manifest.files); !status.ok()) return status;
  for (const auto& [paths, tensors] : {std::pair(&*model, &opened.model), std::pair(&*optimizer, &opened.optimizer)}) {
    auto pieced = PiecedTensors::Open(*paths);
    if (!pieced.ok()) return pieced.status();
    *tensors = *std::move(pieced);
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
