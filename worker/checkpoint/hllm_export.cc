#include "worker/checkpoint/hllm_export.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/file_list.h"
#include "worker/checkpoint/manifest.h"
#include "worker/checkpoint/torch_file/torch_writer.h"

namespace pixelrec::checkpoint {
namespace {

constexpr int64_t kExportVersion = 1;
constexpr char kBestModelFolder[] = "best_model";

// A model directory that training started from.
struct BaseModel {
  DecoderConfig config;
  ModelWeights weights;
  std::vector<std::unique_ptr<float[]>> decayed;  // what `weights` points at where decay was applied
};

// How far the untrained tensors of a model directory have decayed already: those of a best_model/ have, others haven't.
absl::StatusOr<UnreadDecay> DecayOfBase(const std::filesystem::path& dir) {
  const std::filesystem::path file = dir.parent_path() / kHllmFile;
  auto text = storage::ReadFile(file);
  if (absl::IsNotFound(text.status())) return UnreadDecay();
  if (!text.ok()) return text.status();
  auto parsed = ParseHllmFile(*text, file.string());
  if (!parsed.ok()) return parsed.status();
  return std::move(parsed->info.unread_decay);
}

// Rule M6 in compat: base's tensors as they were when the source was written.
absl::Status DecayBase(const std::filesystem::path& dir, const std::string& side, const HllmWeights& weights, BaseModel& base) {
  if (weights.unread_decay.empty()) return absl::OkStatus();
  auto already = DecayOfBase(dir);
  if (!already.ok()) return already.status();
  for (const auto& [name, factor] : weights.unread_decay) {
    absl::string_view own = name;
    if (!absl::ConsumePrefix(&own, absl::StrCat(side, "."))) continue;
    const auto found = base.weights.tensors.find(std::string(own));
    const bool is_head = own == "lm_head.weight" && base.weights.lm_head;
    if (!is_head && found == base.weights.tensors.end()) continue;
    TensorInfo& tensor = is_head ? *base.weights.lm_head : found->second;
    const auto before = already->find(name);
    const double left = before == already->end() || before->second == 0 ? factor : factor / before->second;
    auto decayed = Decayed(tensor, left, weights.unread_rounded && before == already->end(), base.decayed.emplace_back());
    if (!decayed.ok()) return decayed.status();
    tensor = *std::move(decayed);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<BaseModel>> OpenBase(const std::filesystem::path& dir, const std::string& side,
                                                  const HllmWeights& hllm) {
  if (dir.empty()) return std::optional<BaseModel>();
  BaseModel base;
  auto config = ReadDecoderConfig(dir);
  if (!config.ok()) return config.status();
  base.config = *std::move(config);
  auto weights = OpenModelWeights(dir, base.config);
  if (!weights.ok()) return weights.status();
  base.weights = *std::move(weights);
  if (auto status = DecayBase(dir, side, hllm, base); !status.ok()) return status;
  return std::optional<BaseModel>(std::move(base));
}

using Tensors = std::map<std::string, TensorInfo>;

// One side's tensors without its prefix.
Tensors SideOf(const HllmWeights& weights, absl::string_view side) {
  Tensors tensors;
  for (const auto& [name, info] : weights.tensors) {
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, absl::StrCat(side, "."))) continue;
    TensorInfo own = info;
    own.name = std::string(rest);
    tensors[own.name] = own;
  }
  return tensors;
}

// What the trainer doesn't keep: from the base model; a tied head is the embeddings.
void FillUntrained(const BaseModel& base, Tensors& tensors) {
  for (const auto& [name, info] : base.weights.tensors) tensors.emplace(name, info);
  if (tensors.contains("lm_head.weight")) return;
  const auto embeddings = tensors.find("embed_tokens.weight");
  if (base.config.tie_word_embeddings && embeddings != tensors.end()) {
    tensors["lm_head.weight"] = embeddings->second;
  } else if (base.weights.lm_head) {
    tensors["lm_head.weight"] = *base.weights.lm_head;
  }
}

absl::Status WriteSide(const std::filesystem::path& dir, const std::filesystem::path& source_dir, const std::string& side,
                       const HllmWeights& weights) {
  Tensors tensors = SideOf(weights, side);
  auto base = OpenBase(source_dir, side, weights);
  if (!base.ok()) return base.status();
  const auto head = tensors.extract("lm_head.weight");
  if (!(*base)->config.tie_word_embeddings && !head.empty()) (*base)->weights.lm_head = head.mapped();
  HfExport model{source_dir, &(*base)->config, &(*base)->weights, std::move(tensors)};
  return WriteHfModel(dir, model).status();
}

absl::StatusOr<std::map<std::string, FileDigest>> FilesOf(const std::filesystem::path& dir) {
  std::map<std::string, FileDigest> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (!entry.is_regular_file()) continue;
    auto digest = DigestFile(entry.path());
    if (!digest.ok()) return digest.status();
    files[entry.path().lexically_relative(dir).string()] = *std::move(digest);
  }
  return files;
}

absl::Status WriteHuggingFace(const std::filesystem::path& dir, const HllmWeights& weights, const ExportOptions& options) {
  if (options.item_model_dir.empty() || options.user_model_dir.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(weights.path.string(), " (", weights.description,
                     ") holds no config.json and no tokenizer; say which models it was trained from: --item-model-dir DIR "
                     "--user-model-dir DIR"));
  }
  if (auto status = WriteSide(dir / kItemModelFolder, options.item_model_dir, "item_llm", weights); !status.ok()) return status;
  if (auto status = WriteSide(dir / kUserModelFolder, options.user_model_dir, "user_llm", weights); !status.ok()) return status;
  std::vector<TensorInfo> head;
  for (const char* name : {"item_emb_tokens", "logit_scale"}) {
    const auto found = weights.tensors.find(name);
    if (found != weights.tensors.end()) head.push_back(found->second);
  }
  if (auto status = WriteTensors(dir / kHeadFile, head, {{"format", "pt"}}).status(); !status.ok() || !options.info)
    return status;
  HllmInfo info = *options.info;
  if (weights.source == HllmSource::kCheckpoint) {  // `info` is of the best_model/ beside it
    if (info.step != weights.step) info.validation_loss.reset();
    info.epoch = weights.epoch;
    info.step = weights.step;
    info.unread_decay = weights.unread_decay;
  }
  auto files = FilesOf(dir);
  return files.ok() ? WriteHllmFile(dir, info, *files) : files.status();
}

// Every tensor under the reference's name, in the order of the names.
absl::StatusOr<std::vector<TensorInfo>> ReferenceTensors(const HllmWeights& weights, const std::optional<BaseModel>& item,
                                                         const std::optional<BaseModel>& user) {
  std::vector<TensorInfo> all;
  for (const auto& [side, base] : {std::pair("item_llm", &item), std::pair("user_llm", &user)}) {
    Tensors tensors = SideOf(weights, side);
    if (*base) FillUntrained(**base, tensors);
    for (auto& [name, info] : tensors) {
      info.name = ReferenceName(absl::StrCat(side, ".", name));
      all.push_back(info);
    }
  }
  for (const char* name : {"item_emb_tokens", "logit_scale"}) {
    const auto found = weights.tensors.find(name);
    if (found != weights.tensors.end()) all.push_back(found->second);
  }
  return all;
}

absl::Status WriteReference(const std::filesystem::path& dir, std::vector<TensorInfo> tensors, ExportFormat format) {
  if (format == ExportFormat::kReferenceSafetensors)
    return WriteTensors(dir / "model.safetensors", tensors, {{"format", "pt"}}).status();
  std::vector<std::pair<std::string, TorchTensor>> named;
  for (const TensorInfo& info : tensors)
    named.emplace_back(info.name, TorchTensor{info.dtype, info.shape, info.data, info.bytes, info.parts});
  return WriteTorchFile(dir / "pytorch_model.bin", named);
}

// Tensors that the reference's state dict has beside the trained ones.
std::vector<std::string> MissingOfReference(const std::vector<TensorInfo>& tensors) {
  std::set<std::string> names;
  for (const TensorInfo& info : tensors) names.insert(info.name);
  std::vector<std::string> missing;
  for (const char* name : {"item_emb_tokens", "logit_scale", "item_llm.lm_head.weight", "user_llm.lm_head.weight",
                           "item_llm.model.embed_tokens.weight", "user_llm.model.embed_tokens.weight"}) {
    if (!names.contains(name)) missing.emplace_back(name);
  }
  return missing;
}

}  // namespace

ExportOptions WithKnownModels(ExportOptions options, const std::filesystem::path& source) {
  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::weakly_canonical(source, ignored);
  std::vector<std::filesystem::path> candidates = {folder};
  if (std::filesystem::exists(folder / kManifestFile, ignored)) {  // checkpoint-epoch-N/ or recovery/step-N/ of an output_dir
    candidates.push_back(folder.parent_path() / kBestModelFolder);
    candidates.push_back(folder.parent_path().parent_path() / kBestModelFolder);
  }
  for (const std::filesystem::path& best : candidates) {
    if (!std::filesystem::exists(best / kHllmFile, ignored) && !IsModelExport(best)) continue;
    if (auto text = storage::ReadFile(best / kHllmFile); text.ok()) {
      if (auto file = ParseHllmFile(*text, (best / kHllmFile).string()); file.ok()) options.info = std::move(file->info);
    }
    if (options.item_model_dir.empty()) options.item_model_dir = best / kItemModelFolder;
    if (options.user_model_dir.empty()) options.user_model_dir = best / kUserModelFolder;
    break;
  }
  return options;
}

absl::StatusOr<std::vector<std::string>> WriteExport(const std::filesystem::path& dir, const HllmWeights& weights,
                                                     const ExportOptions& options) {
  std::vector<std::string> notices;
  if (options.format == ExportFormat::kHuggingFace) {
    if (auto status = WriteHuggingFace(dir, weights, options); !status.ok()) return status;
    if (auto status = WriteExportFile(dir, "hf", weights); !status.ok()) return status;
    return notices;
  }
  auto item = OpenBase(options.item_model_dir, "item_llm", weights);
  if (!item.ok()) return item.status();
  auto user = OpenBase(options.user_model_dir, "user_llm", weights);
  if (!user.ok()) return user.status();
  auto tensors = ReferenceTensors(weights, *item, *user);
  if (!tensors.ok()) return tensors.status();
  const std::vector<std::string> missing = MissingOfReference(*tensors);
  if (!missing.empty()) {
    notices.push_back(absl::StrCat("not in the export, because neither the source nor a model directory has it: ",
                                   absl::StrJoin(missing, ", "), "; the reference loads the rest (strict=False)"));
  }
  if (auto status = WriteReference(dir, *std::move(tensors), options.format); !status.ok()) return status;
  const bool bin = options.format == ExportFormat::kReferenceBin;
  if (auto status = WriteExportFile(dir, bin ? "reference-bin" : "reference-safetensors", weights); !status.ok()) return status;
  return notices;
}

absl::Status WriteExportFile(const std::filesystem::path& dir, const std::string& format, const HllmWeights& weights) {
  auto files = FilesOf(dir);
  if (!files.ok()) return files.status();
  const nlohmann::ordered_json document = {{"format_version", kExportVersion},
                                           {"format", format},
                                           {"program_version", PIXELREC_VERSION},
                                           {"source", weights.path.string()},
                                           {"source_kind", weights.description},
                                           {"epoch", weights.epoch},
                                           {"step", weights.step},
                                           {"files", FilesToJson(*files)}};
  return storage::WriteFileAtomically(dir / kExportFile,
                                      document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

absl::StatusOr<std::filesystem::path> StageExport(const std::filesystem::path& out, bool force) {
  std::error_code error;
  if (std::filesystem::exists(out, error)) {
    const bool empty = std::filesystem::is_directory(out, error) && std::filesystem::is_empty(out, error);
    const bool is_export = std::filesystem::is_regular_file(out / kExportFile, error);
    if (!empty && !is_export)
      return absl::AlreadyExistsError(absl::StrCat(out.string(), ": exists and is no earlier export; give another folder"));
    if (!empty && !force)
      return absl::AlreadyExistsError(absl::StrCat(out.string(), ": holds an earlier export; give --force to replace it"));
  }
  const std::filesystem::path folder = std::filesystem::absolute(out).lexically_normal();
  const std::filesystem::path name = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
  const std::filesystem::path parent = folder.has_filename() ? folder.parent_path() : folder.parent_path().parent_path();
  std::filesystem::create_directories(parent, error);
  std::string pattern = (parent / absl::StrCat(".exporting-", name.string(), "-XXXXXX")).string();
  if (::mkdtemp(pattern.data()) == nullptr) return storage::ErrnoStatus(errno, "cannot create", pattern);
  std::filesystem::permissions(pattern, std::filesystem::perms(0755), error);
  return std::filesystem::path(pattern);
}

absl::Status FinishExport(const std::filesystem::path& staging, const std::filesystem::path& out, const absl::Status& written) {
  std::error_code ignored;
  absl::Status status = written;
  if (status.ok()) status = storage::SyncPath(staging);
  if (status.ok()) status = storage::PublishDirectory(staging, out);
  if (!status.ok()) std::filesystem::remove_all(staging, ignored);
  return status;
}

}  // namespace pixelrec::checkpoint
