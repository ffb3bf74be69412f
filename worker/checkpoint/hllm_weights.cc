#include "worker/checkpoint/hllm_weights.h"

#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/checkpoint/deepspeed_checkpoint.h"
#include "worker/checkpoint/deepspeed_files.h"
#include "worker/checkpoint/model_weights.h"
#include "worker/checkpoint/weight_files.h"

namespace pixelrec::checkpoint {
namespace {

constexpr absl::string_view kItemSide = "item_llm.", kUserSide = "user_llm.", kInnerModel = "model.";
// What wrappers of the trained module put in front of its names.
constexpr absl::string_view kWrappers[] = {"module.", "_forward_module.", "_orig_mod."};

bool IsHead(absl::string_view name) { return name == "item_emb_tokens" || name == "logit_scale"; }
bool IsHllmName(absl::string_view name) {
  return IsHead(name) || absl::StartsWith(name, kItemSide) || absl::StartsWith(name, kUserSide);
}

// Takes tensors under their canonical names; the others are ignored, by name.
absl::Status Add(const std::map<std::string, TensorInfo>& tensors, const std::string& file, HllmWeights& weights) {
  for (const auto& [name, tensor] : tensors) {
    const std::string canonical = CanonicalName(name);
    if (!IsHllmName(canonical)) {
      weights.ignored.emplace(name, "belongs to no part of an HLLM");
      continue;
    }
    if (absl::EndsWith(canonical, ".rotary_emb.inv_freq")) {
      weights.ignored.emplace(name, "a table that follows from config.json");
      continue;
    }
    TensorInfo info = tensor;
    info.name = canonical;
    if (!weights.tensors.emplace(canonical, std::move(info)).second)
      return absl::InvalidArgumentError(absl::StrCat(file, ": tensor ", canonical, " occurs twice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<HllmWeights> FromBestModel(HllmWeights weights) {
  auto opened = OpenBestModel(weights.path);
  if (!opened.ok()) return opened.status();
  auto best = std::make_shared<BestModel>(*std::move(opened));
  weights.source = HllmSource::kBestModel;
  weights.description = "best_model";
  weights.epoch = best->info.epoch;
  weights.step = best->info.step;
  const auto add = [&](const std::string& name, TensorInfo info) {
    info.name = name;
    weights.tensors[name] = std::move(info);
  };
  for (const auto& [side, model] : {std::pair(kItemSide, &best->item), std::pair(kUserSide, &best->user)}) {
    for (const auto& [name, info] : model->tensors) add(absl::StrCat(side, name), info);
    if (model->lm_head) add(absl::StrCat(side, "lm_head.weight"), *model->lm_head);
  }
  add("item_emb_tokens", best->item_emb_tokens);
  add("logit_scale", best->logit_scale);
  weights.storage.push_back(std::move(best));
  return weights;
}

// One side of an export, and what its tensors lie in.
absl::Status AddSide(const std::filesystem::path& dir, absl::string_view side, HllmWeights& weights) {
  auto config = ReadDecoderConfig(dir);
  if (!config.ok()) return config.status();
  auto opened = OpenModelWeights(dir, *config);
  if (!opened.ok()) return opened.status();
  auto model = std::make_shared<ModelWeights>(*std::move(opened));
  if (model->lm_head) model->tensors["lm_head.weight"] = *model->lm_head;
  for (auto& [name, info] : model->tensors) {
    info.name = absl::StrCat(side, name);
    weights.tensors[info.name] = info;
  }
  weights.storage.push_back(std::move(model));
  return absl::OkStatus();
}

absl::StatusOr<HllmWeights> FromModelExport(HllmWeights weights) {
  weights.source = HllmSource::kModelExport;
  weights.description = "two Hugging Face model directories and a head";
  for (const auto& [folder, side] : {std::pair(kItemModelFolder, kItemSide), std::pair(kUserModelFolder, kUserSide)}) {
    if (auto status = AddSide(weights.path / folder, side, weights); !status.ok()) return status;
  }
  auto head = SafetensorsFile::Open(weights.path / kHeadFile);
  if (!head.ok()) return head.status();
  if (auto status = Add((*head)->tensors(), (*head)->path().string(), weights); !status.ok()) return status;
  weights.storage.push_back(*std::move(head));
  return weights;
}

absl::StatusOr<HllmWeights> FromCheckpoint(HllmWeights weights) {
  auto opened = OpenCheckpoint(weights.path);
  if (!opened.ok()) return opened.status();
  weights.source = HllmSource::kCheckpoint;
  weights.description = opened->manifest.kind == CheckpointKind::kEpoch ? "epoch checkpoint" : "recovery checkpoint";
  weights.epoch = opened->manifest.epoch;
  weights.step = opened->manifest.step;
  weights.unread_decay = opened->manifest.unread_decay;
  const auto rounding = opened->manifest.settings.find("spec.compat.bf16_rounding");
  weights.unread_rounded = rounding != opened->manifest.settings.end() && rounding->second == "true";
  std::map<std::string, TensorInfo> tensors;
  for (const std::string& name : opened->model->names()) tensors.emplace(name, *opened->model->Find(name));
  if (auto status = Add(tensors, opened->model->title(), weights); !status.ok()) return status;
  weights.storage.push_back(std::move(opened->model));
  return weights;
}

absl::StatusOr<HllmWeights> FromDeepSpeed(HllmWeights weights) {
  auto opened = OpenDeepSpeedCheckpoint(weights.path);
  if (!opened.ok()) return opened.status();
  auto checkpoint = std::make_shared<DeepSpeedCheckpoint>(*std::move(opened));
  weights.source = HllmSource::kDeepSpeed;
  weights.description = checkpoint->stage == 0 ? "DeepSpeed checkpoint"
                                               : absl::StrCat("DeepSpeed ZeRO stage ", checkpoint->stage, " checkpoint of ",
                                                              checkpoint->world_size, " ranks");
  weights.step = checkpoint->global_steps;
  if (auto status = Add(checkpoint->tensors, checkpoint->folder.string(), weights); !status.ok()) return status;
  weights.storage.push_back(std::move(checkpoint));
  return weights;
}

absl::StatusOr<HllmWeights> FromFiles(HllmWeights weights, std::vector<std::unique_ptr<TensorFile>> files) {
  weights.source = HllmSource::kReference;
  for (auto& file : files) {
    weights.description = absl::StrCat("reference weights (", file->format(), ")");
    if (auto status = Add(file->tensors(), file->path().string(), weights); !status.ok()) return status;
    for (const auto& [name, why] : file->skipped()) weights.ignored.emplace(name, why);
    weights.storage.push_back(std::move(file));
  }
  return weights;
}

absl::StatusOr<HllmWeights> FromFolder(HllmWeights weights) {
  std::error_code ignored;
  const auto has = [&](const char* name) { return std::filesystem::exists(weights.path / name, ignored); };
  if (has(kHllmFile)) return FromBestModel(std::move(weights));
  if (has(kManifestFile)) return FromCheckpoint(std::move(weights));
  if (IsModelExport(weights.path)) return FromModelExport(std::move(weights));
  if (IsDeepSpeedCheckpoint(weights.path)) return FromDeepSpeed(std::move(weights));
  auto files = OpenWeightFiles(weights.path);
  if (files.ok()) return FromFiles(std::move(weights), *std::move(files));
  if (!absl::IsNotFound(files.status())) return files.status();
  return absl::NotFoundError(absl::StrCat(
      weights.path.string(), ": holds no trained HLLM", has("best_model") ? "; give the folder best_model in it" : "",
      "; read are best_model/, checkpoint-epoch-N/, an export, a DeepSpeed checkpoint, and a folder "
      "with the reference's pytorch_model.bin or "
      "model.safetensors"));
}

}  // namespace

absl::StatusOr<HllmWeights> OpenHllmWeights(const std::filesystem::path& path) {
  HllmWeights weights;
  weights.path = path;
  std::error_code ignored;
  absl::StatusOr<HllmWeights> opened;
  if (std::filesystem::is_directory(path, ignored)) {
    opened = FromFolder(std::move(weights));
  } else {
    auto file = TensorFile::Open(path);
    if (!file.ok()) return file.status();
    std::vector<std::unique_ptr<TensorFile>> files;
    files.push_back(*std::move(file));
    opened = FromFiles(std::move(weights), std::move(files));
  }
  if (opened.ok() && opened->tensors.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(),
                                                   ": holds no tensor of an HLLM (item_llm.*, user_llm.*, "
                                                   "item_emb_tokens, logit_scale); a model directory of one LLM "
                                                   "belongs in item_model_dir or user_model_dir"));
  }
  return opened;
}

bool IsModelExport(const std::filesystem::path& dir) {
  std::error_code ignored;
  const auto has = [&](const std::filesystem::path& file) { return std::filesystem::is_regular_file(dir / file, ignored); };
  return !has(kHllmFile) && has(kHeadFile) && has(std::filesystem::path(kItemModelFolder) / "config.json") &&
         has(std::filesystem::path(kUserModelFolder) / "config.json");
}

std::string CanonicalName(absl::string_view name) {
  for (bool stripped = true; stripped;) {
    stripped = false;
    for (const absl::string_view wrapper : kWrappers) stripped |= absl::ConsumePrefix(&name, wrapper);
  }
  for (const absl::string_view side : {kItemSide, kUserSide}) {
    absl::string_view rest = name;
    if (absl::ConsumePrefix(&rest, side)) {
      absl::ConsumePrefix(&rest, kInnerModel);
      return absl::StrCat(side, rest);
    }
  }
  return std::string(name);
}

std::string ReferenceName(absl::string_view name) {
  for (const absl::string_view side : {kItemSide, kUserSide}) {
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, side)) continue;
    // Decoders have their layers inside a causal LM's "model"; encoders, heads and all else stand as they are.
    const bool inner =
        absl::StartsWith(rest, "layers.") || absl::StartsWith(rest, "embed_tokens.") || absl::StartsWith(rest, "norm.");
    return absl::StrCat(side, inner ? kInnerModel : "", rest);
  }
  return std::string(name);
}

}  // namespace pixelrec::checkpoint
