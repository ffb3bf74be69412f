#include "worker/checkpoint/manifest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/file_list.h"
#include "worker/checkpoint/json_file.h"
#include "worker/checkpoint/unread_tensors.h"

namespace pixelrec::checkpoint {
namespace {

using nlohmann::json;

constexpr size_t kMaxManifestBytes = size_t{4} << 20;
constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max();
constexpr double kMaxNumber = std::numeric_limits<double>::max();
constexpr char kEpochKind[] = "epoch_checkpoint";
constexpr char kRecoveryKind[] = "recovery_checkpoint";

// Over the compact form with sorted keys, so that blanks and order don't matter. `document` must not hold the digest itself.
std::string SelfDigest(const json& document) {
  return DigestOf(document.dump(-1, ' ', false, json::error_handler_t::replace)).xxh3;
}

void ReadProgress(JsonFields& fields, Manifest& manifest) {
  manifest.world_size = fields.Int("world_size", 1, 1 << 20);
  manifest.generation = fields.Unsigned("generation");
  manifest.epoch = fields.Int("epoch", 0, kMaxCount);
  manifest.step = fields.Int("step", 0, kMaxCount);
  manifest.step_in_epoch = fields.Int("step_in_epoch", 0, manifest.step);
  manifest.updates = fields.Int("updates", 0, manifest.step);
  manifest.seed = fields.Unsigned("seed");
  manifest.global_batch_size = fields.Int("global_batch_size", 1, kMaxCount);
  manifest.total_steps = fields.Int("total_steps", manifest.step, kMaxCount);
  if (fields.Has("best_validation_loss"))
    manifest.best_validation_loss = fields.Number("best_validation_loss", -kMaxNumber, kMaxNumber);
  manifest.epoch_loss_sum = fields.Number("epoch_loss_sum", -kMaxNumber, kMaxNumber);
  manifest.epoch_loss_rows = fields.Int("epoch_loss_rows", 0, kMaxCount);
  manifest.samples = fields.Int("samples", 0, kMaxCount);
  manifest.tokens = fields.Int("tokens", 0, kMaxCount);
}

// Facts that manifests written before them lack.
absl::Status ReadLaterFacts(const json& document, absl::string_view file_name, Manifest& manifest) {
  const json settings = document.value("settings", json::object());
  if (!settings.is_object()) return absl::InvalidArgumentError(absl::StrCat(file_name, ": settings: must be an object"));
  for (const auto& [name, value] : settings.items()) {
    if (!value.is_string())
      return absl::InvalidArgumentError(absl::StrCat(file_name, ": settings: ", name, ": must be a string"));
    manifest.settings[name] = value.get<std::string>();
  }
  const json compute_type = document.value("compute_type", json(""));
  if (!compute_type.is_string()) return absl::InvalidArgumentError(absl::StrCat(file_name, ": compute_type: must be a string"));
  manifest.compute_type = compute_type.get<std::string>();
  auto decay = UnreadDecayFromJson(document, file_name);
  if (!decay.ok()) return decay.status();
  manifest.unread_decay = *std::move(decay);
  auto epochs = EpochsFromJson(document, file_name);
  if (!epochs.ok()) return epochs.status();
  manifest.epochs = *std::move(epochs);
  return absl::OkStatus();
}

// Numbered folders "<prefix>N" of `parent`; nothing where `parent` is absent.
absl::Status ListNumbered(const std::filesystem::path& parent, absl::string_view prefix,
                          std::vector<std::filesystem::path>& found) {
  std::error_code error;
  std::filesystem::directory_iterator entries(parent, error), end;
  if (error == std::errc::no_such_file_or_directory) return absl::OkStatus();
  for (; !error && entries != end; entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    absl::string_view number = name;
    int64_t ignored = 0;
    if (absl::ConsumePrefix(&number, prefix) && absl::SimpleAtoi(number, &ignored)) found.push_back(entries->path());
  }
  return error ? storage::ErrnoStatus(error.value(), "cannot list", parent) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> FormatManifest(const Manifest& manifest) {
  if (!std::isfinite(manifest.best_validation_loss.value_or(0)) || !std::isfinite(manifest.epoch_loss_sum)) {
    return absl::InvalidArgumentError("a checkpoint's losses must be finite");
  }
  json document = {{"format_version", kManifestVersion},
                   {"kind", manifest.kind == CheckpointKind::kEpoch ? kEpochKind : kRecoveryKind},
                   {"job_name", manifest.job_name},
                   {"job_id", manifest.job_id},
                   {"program_version", manifest.program_version},
                   {"world_size", manifest.world_size},
                   {"generation", manifest.generation},
                   {"epoch", manifest.epoch},
                   {"step", manifest.step},
                   {"step_in_epoch", manifest.step_in_epoch},
                   {"updates", manifest.updates},
                   {"seed", manifest.seed},
                   {"global_batch_size", manifest.global_batch_size},
                   {"total_steps", manifest.total_steps},
                   {"data_hash", manifest.data_hash},
                   {"item_config_digest", manifest.item_config_digest},
                   {"user_config_digest", manifest.user_config_digest},
                   {"sample_digest", manifest.sample_digest},
                   {"best_validation_loss", nullptr},
                   {"epoch_loss_sum", manifest.epoch_loss_sum},
                   {"epoch_loss_rows", manifest.epoch_loss_rows},
                   {"samples", manifest.samples},
                   {"tokens", manifest.tokens},
                   {"settings", manifest.settings},
                   {"compute_type", manifest.compute_type},
                   {"epochs", EpochsToJson(manifest.epochs)},
                   {"unread_decay", manifest.unread_decay},
                   {"files", FilesToJson(manifest.files)}};
  if (manifest.best_validation_loss) document["best_validation_loss"] = *manifest.best_validation_loss;
  document["manifest_xxh3"] = SelfDigest(document);
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<Manifest> ParseManifest(absl::string_view text, absl::string_view file_name) {
  auto parsed = ParseJson(text, file_name);
  if (!parsed.ok()) return parsed.status();
  JsonFields fields(*parsed, file_name);
  if (!fields.status().ok()) return fields.status();
  const int64_t version = fields.Int("format_version", 1, kMaxCount);
  if (fields.status().ok() && version > kManifestVersion) {
    return absl::UnimplementedError(absl::StrCat(file_name, ": format_version ", version,
                                                 " is newer than this program, which reads up to ", kManifestVersion));
  }
  const std::string digest = fields.String("manifest_xxh3");
  if (!fields.status().ok()) return fields.status();
  json document = *parsed;
  document.erase("manifest_xxh3");
  if (SelfDigest(document) != digest) {
    return absl::DataLossError(absl::StrCat(file_name, ": damaged: it doesn't fit its own manifest_xxh3"));
  }

  Manifest manifest;
  const std::string kind = fields.String("kind");
  if (kind != kEpochKind && kind != kRecoveryKind)
    fields.Fail("kind", absl::StrCat("must be ", kEpochKind, " or ", kRecoveryKind));
  manifest.kind = kind == kEpochKind ? CheckpointKind::kEpoch : CheckpointKind::kRecovery;
  manifest.job_name = fields.String("job_name");
  manifest.job_id = fields.String("job_id");
  manifest.program_version = fields.String("program_version");
  manifest.data_hash = fields.String("data_hash");
  manifest.item_config_digest = fields.String("item_config_digest");
  manifest.user_config_digest = fields.String("user_config_digest");
  manifest.sample_digest = fields.String("sample_digest");
  ReadProgress(fields, manifest);
  if (!fields.status().ok()) return fields.status();
  auto files = FilesFromJson(*parsed, file_name);
  if (!files.ok()) return files.status();
  manifest.files = *std::move(files);
  if (auto status = ReadLaterFacts(*parsed, file_name, manifest); !status.ok()) return status;
  return manifest;
}

absl::StatusOr<FileDigest> WriteManifest(const std::filesystem::path& dir, const Manifest& manifest, storage::FileSystem& files) {
  auto text = FormatManifest(manifest);
  if (!text.ok()) return text.status();
  auto status = storage::WriteFileAtomically(dir / kManifestFile, *text, files);
  if (!status.ok()) return status;
  return DigestOf(*text);
}

absl::StatusOr<Manifest> ReadManifest(const std::filesystem::path& dir) {
  auto text = ReadTextFile(dir / kManifestFile, kMaxManifestBytes);
  if (!text.ok()) return text.status();
  return ParseManifest(*text, (dir / kManifestFile).string());
}

absl::StatusOr<CheckpointSearch> FindNewestCheckpoint(const std::filesystem::path& output_dir) {
  std::vector<std::filesystem::path> folders;
  if (auto status = ListNumbered(output_dir, "checkpoint-epoch-", folders); !status.ok()) return status;
  if (auto status = ListNumbered(output_dir / "recovery", "step-", folders); !status.ok()) return status;

  CheckpointSearch search;
  std::vector<CheckpointPlace> places;
  for (const auto& folder : folders) {
    auto manifest = ReadManifest(folder);
    if (manifest.ok())
      places.push_back({folder, *std::move(manifest)});
    else
      search.skipped.push_back(absl::StrCat(folder.string(), ": ", manifest.status().message()));
  }
  // Of two with the same step, the later generation's; then the epoch's, which nobody prunes.
  std::sort(places.begin(), places.end(), [](const CheckpointPlace& a, const CheckpointPlace& b) {
    const auto age = [](const Manifest& m) { return std::tuple(m.step, m.generation, m.kind == CheckpointKind::kEpoch); };
    return age(a.manifest) > age(b.manifest);
  });
  for (CheckpointPlace& place : places) {
    const absl::Status status = VerifyFiles(place.path, place.manifest.files);
    if (status.ok()) {
      search.newest = std::move(place);
      break;
    }
    search.skipped.push_back(absl::StrCat(place.path.string(), ": ", status.message()));
  }
  return search;
}

}  // namespace pixelrec::checkpoint
