#include "tests/worker/checkpoint/crash/saving_job.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kElements = 12;  // of "w", cut over the ranks

// The values of one tensor, as they must be wherever a checkpoint of this claim is read.
std::string Values(const std::string& name, const Claim& claim, size_t elements) {
  std::string bytes(elements * sizeof(float), '\0');
  for (size_t i = 0; i < elements; ++i) {
    const auto value = static_cast<float>(std::hash<std::string>()(name) % 1009 + 10'000 * static_cast<size_t>(claim.step) +
                                          1000 * claim.generation + i);
    std::memcpy(bytes.data() + i * sizeof(float), &value, sizeof(float));
  }
  return bytes;
}

// One file's tensors, and a rank's part of them: "w" in ranges, another one whole on rank 1.
struct Tensors {
  std::vector<std::string> content;
  std::vector<TensorPiece> pieces;
};

Tensors PartOf(const std::string& prefix, const Claim& claim, int rank) {
  Tensors part;
  part.content = {Values(prefix + "w", claim, kElements), Values(prefix + "logit_scale", claim, 1)};
  const int64_t share = kElements / SavingJob::kRanks, begin = rank * share;
  const auto bytes =
      AsBytes(part.content[0]).subspan(static_cast<size_t>(begin) * sizeof(float), static_cast<size_t>(share) * sizeof(float));
  part.pieces.push_back({{prefix + "w", "F32", {share}, bytes.data(), bytes.size()}, begin, {3, 4}});
  if (rank == 1)
    part.pieces.push_back({{prefix + "logit_scale", "F32", {}, AsBytes(part.content[1]).data(), sizeof(float)}, 0, {}});
  return part;
}

absl::Status Compare(const PiecedTensors& tensors, const std::string& prefix, const Claim& claim) {
  for (const auto& [name, elements] : {std::pair("w", kElements), std::pair("logit_scale", int64_t{1})}) {
    auto found = tensors.Find(prefix + name);
    if (!found.ok()) return absl::InternalError(found.status().ToString());
    std::string bytes;
    for (const auto& part : PartsOf(*found)) bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
    if (bytes != Values(prefix + name, claim, static_cast<size_t>(elements)))
      return absl::InternalError(absl::StrCat(prefix, name, " of step ", claim.step, " holds other values"));
  }
  return absl::OkStatus();
}

Manifest ManifestOf(const Claim& claim, bool epoch) {
  Manifest manifest;
  manifest.kind = epoch ? CheckpointKind::kEpoch : CheckpointKind::kRecovery;
  manifest.job_id = "job-1";
  manifest.world_size = SavingJob::kRanks;
  manifest.generation = claim.generation;
  manifest.step = manifest.updates = claim.step;
  manifest.global_batch_size = 8;
  manifest.total_steps = 100;
  return manifest;
}

}  // namespace

SavingJob::SavingJob(storage::FaultFileSystem& disk, fs::path output, fs::path models)
    : disk_(disk), output_(std::move(output)), models_(std::move(models)) {
  config_ = *ReadDecoderConfig(models_);
  original_ = *OpenModelWeights(models_, config_);
}

std::string SavingJob::Staging(const std::string& name) const {
  return (output_ / ".staging" / absl::StrCat("g", generation_) / fs::path(name).filename()).string();
}

bool SavingJob::SaveNext() {
  const int64_t step = (checkpoints_.empty() ? 0 : checkpoints_.back().claim.step) + 2;
  if (step % 6 != 0) return SaveCheckpoint(absl::StrCat("recovery/step-", step), step);
  const bool best = SaveBestModel(step);
  if (disk_.dead()) return false;
  return SaveCheckpoint(absl::StrCat("checkpoint-epoch-", step / 6), step) && best;
}

bool SavingJob::SaveCheckpoint(const std::string& name, int64_t step) {
  const Committed artifact{name, Staging(name), {step, generation_}};
  const auto write = [&]() -> absl::Status {
    Manifest manifest = ManifestOf(artifact.claim, !absl::StartsWith(name, "recovery/"));
    for (int rank = 0; rank < kRanks; ++rank) {
      const Tensors model = PartOf("", artifact.claim, rank), first = PartOf(kFirstMoment, artifact.claim, rank);
      if (auto status = storage::CreateFolders(output_, artifact.staging, disk_); !status.ok()) return status;
      auto files = WriteShard(artifact.staging, {rank, kRanks}, model.pieces, first.pieces, disk_);
      if (!files.ok()) return files.status();
      manifest.files.insert(files->begin(), files->end());
    }
    return FinishCheckpoint(artifact.staging, std::move(manifest), disk_).status();
  };
  if (write().ok()) return Commit(artifact);
  (void)disk_.RemoveTree(artifact.staging);
  return false;
}

bool SavingJob::SaveBestModel(int64_t step) {
  const Committed artifact{"best_model", Staging(absl::StrCat("best_model-", step)), {step, generation_}};
  std::map<std::string, std::string> content;  // of both sides
  HfExport side{models_, &config_, &original_, {}};
  for (const TensorSpec& spec : DecoderTensors(config_)) {
    std::string& values = content[spec.name];
    values = Values(spec.name, artifact.claim, static_cast<size_t>(*TensorBytes(spec.shape, 1)));
    side.trained[spec.name] = {spec.name, "F32", spec.shape, AsBytes(values).data(), values.size()};
  }
  const std::string tokens = Values("item_emb_tokens", artifact.claim, 4), scale = Values("logit_scale", artifact.claim, 1);
  const BestModelTensors tensors{.item = side,
                                 .user = side,
                                 .item_emb_tokens = {"", "F32", {1, 1, 4}, AsBytes(tokens).data(), tokens.size()},
                                 .logit_scale = {"", "F32", {}, AsBytes(scale).data(), scale.size()}};
  HllmInfo info;
  info.max_seq_length = info.max_text_length = 8;
  info.step = step;
  info.epoch = static_cast<int64_t>(generation_);  // so that readers know which generation's it is
  absl::Status status = storage::CreateFolders(output_, artifact.staging, disk_);
  if (status.ok()) status = WriteBestModel(artifact.staging, info, tensors, disk_).status();
  if (status.ok()) return Commit(artifact);
  (void)disk_.RemoveTree(artifact.staging);
  return false;
}

bool SavingJob::Commit(const Committed& artifact) {
  if (artifact.name != "best_model") {
    std::erase_if(checkpoints_, [&](const Committed& c) { return c.name == artifact.name; });
    checkpoints_.push_back(artifact);
    std::erase_if(reaping_, [&](const Reaping& r) { return r.checkpoint.name == artifact.name; });
    for (int i = static_cast<int>(checkpoints_.size()) - 1, newer = 0; i >= 0; --i) {
      if (!absl::StartsWith(checkpoints_[static_cast<size_t>(i)].name, "recovery/") || ++newer <= kKeep) continue;
      reaping_.push_back({checkpoints_[static_cast<size_t>(i)], artifact.name});
      checkpoints_.erase(checkpoints_.begin() + i);
    }
  }
  std::erase_if(unpublished_, [&](const Committed& c) { return c.name == artifact.name; });
  unpublished_.push_back(artifact);
  if (Publish(artifact).ok()) return true;
  if (!disk_.dead()) OnPublishFailed(artifact);
  return false;
}

absl::Status SavingJob::Publish(const Committed& artifact) {
  v1::CommitArtifact order;
  order.mutable_artifact()->set_staging_path(artifact.staging);
  order.mutable_artifact()->set_path((output_ / artifact.name).string());
  for (const Reaping& reaping : reaping_) order.add_reap((output_ / reaping.checkpoint.name).string());
  const agent::Publication publication = agent::Publish(order, agent::AllowedPaths({}), disk_);
  // A process that died in the midst of reaping told nobody that it had published.
  if (disk_.dead()) return absl::UnavailableError("dead");
  if (!publication.status.ok()) return publication.status;
  std::erase_if(unpublished_, [&](const Committed& c) { return c.name == artifact.name; });
  reaping_.clear();  // one at a time here: all that was given up was named
  has_best_model_ = has_best_model_ || artifact.name == "best_model";
  return absl::OkStatus();
}

void SavingJob::OnPublishFailed(const Committed& artifact) {
  const auto same = [&](const Committed& c) { return c.name == artifact.name; };
  std::erase_if(unpublished_, same);
  if (artifact.name != "best_model") std::erase_if(checkpoints_, same);
  for (const Reaping& reaping : std::exchange(reaping_, {})) checkpoints_.push_back(reaping.checkpoint);
  std::stable_sort(checkpoints_.begin(), checkpoints_.end(),
                   [](const Committed& a, const Committed& b) { return a.claim.step < b.claim.step; });
  ++generation_;  // a failed publication ends the generation
}

absl::Status SavingJob::Restart() {
  ++generation_;
  for (const Committed& artifact : std::vector<Committed>(unpublished_)) {
    if (auto status = Publish(artifact); !status.ok()) return status;
  }
  for (const std::string& name : disk_.names(output_ / ".staging")) {
    if (auto status = disk_.RemoveTree(output_ / ".staging" / name); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<Claim> LoadCheckpoint(const fs::path& folder) {
  auto opened = OpenCheckpoint(folder);
  if (!opened.ok()) return opened.status();
  const Claim claim{opened->manifest.step, opened->manifest.generation};
  const std::string name = folder.filename().string();
  if (name != absl::StrCat("step-", claim.step) && name != absl::StrCat("checkpoint-epoch-", claim.step / 6))
    return absl::InternalError(absl::StrCat(name, " claims to be of step ", claim.step));
  if (auto status = Compare(*opened->model, "", claim); !status.ok()) return status;
  if (auto status = Compare(*opened->optimizer, kFirstMoment, claim); !status.ok()) return status;
  return claim;
}

absl::StatusOr<Claim> LoadBestModel(const fs::path& folder) {
  auto opened = OpenBestModel(folder);
  if (!opened.ok()) return opened.status();
  const Claim claim{opened->info.step, static_cast<uint64_t>(opened->info.epoch)};
  for (const ModelWeights* side : {&opened->item, &opened->user}) {
    for (const auto& [name, info] : side->tensors) {
      if (Bytes(info) != Values(name, claim, info.bytes / sizeof(float)))
        return absl::InternalError(absl::StrCat("best_model of step ", claim.step, ": ", name, " holds other values"));
    }
  }
  if (Bytes(opened->item_emb_tokens) != Values("item_emb_tokens", claim, 4))
    return absl::InternalError("best_model: item_emb_tokens holds other values");
  return claim;
}

}  // namespace pixelrec::checkpoint
