#include "worker/checkpoint/best_model.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/file_list.h"
#include "worker/checkpoint/json_file.h"
#include "worker/checkpoint/manifest.h"

namespace pixelrec::checkpoint {
namespace {

using nlohmann::json;

constexpr int64_t kHllmVersion = 1;
constexpr size_t kMaxHllmBytes = size_t{4} << 20;
constexpr double kMaxNumber = std::numeric_limits<double>::max();

std::string FormatHllmFile(const HllmInfo& info, const std::map<std::string, FileDigest>& files) {
  nlohmann::ordered_json document = {{"format_version", kHllmVersion},
                                     {"job_name", info.job_name},
                                     {"program_version", info.program_version},
                                     {"epoch", info.epoch},
                                     {"step", info.step},
                                     {"validation_loss", nullptr},
                                     {"data_hash", info.data_hash},
                                     {"item_prompt", info.item_prompt},
                                     {"text_keys", info.text_keys},
                                     {"max_text_length", info.max_text_length},
                                     {"max_seq_length", info.max_seq_length},
                                     {"item_emb_token_n", info.item_emb_token_n},
                                     {"nce_thres", info.nce_thres},
                                     {"unread_decay", info.unread_decay},
                                     {"files", FilesToJson(files)}};
  if (info.validation_loss && std::isfinite(*info.validation_loss)) document["validation_loss"] = *info.validation_loss;
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::Status CheckHeadTensor(const std::filesystem::path& path, const TensorInfo& tensor, const std::vector<int64_t>& shape) {
  if (tensor.dtype == "F32" && tensor.shape == shape) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path.string(), ": tensor ", tensor.name, ": expected F32 [",
                                                 absl::StrJoin(shape, ", "), "], got ", tensor.dtype, " [",
                                                 absl::StrJoin(tensor.shape, ", "), "]"));
}

absl::Status OpenSide(const std::filesystem::path& dir, DecoderConfig& config, ModelWeights& weights) {
  auto read = ReadDecoderConfig(dir);
  if (!read.ok()) return read.status();
  config = *std::move(read);
  auto opened = OpenModelWeights(dir, config);
  if (!opened.ok()) return opened.status();
  weights = *std::move(opened);
  return absl::OkStatus();
}

absl::Status OpenHead(const std::filesystem::path& path, BestModel& model) {
  auto head = SafetensorsFile::Open(path);
  if (!head.ok()) return head.status();
  model.head = *std::move(head);
  for (auto [name, tensor] :
       {std::pair("item_emb_tokens", &model.item_emb_tokens), std::pair("logit_scale", &model.logit_scale)}) {
    auto found = model.head->Find(name);
    if (!found.ok()) return found.status();
    *tensor = *std::move(found);
  }
  if (model.item_config.hidden_size != model.user_config.hidden_size) {
    return absl::InvalidArgumentError(absl::StrCat(path.parent_path().string(), ": item_llm has hidden_size ",
                                                   model.item_config.hidden_size, ", user_llm ", model.user_config.hidden_size));
  }
  auto status = CheckHeadTensor(path, model.item_emb_tokens, {1, model.info.item_emb_token_n, model.item_config.hidden_size});
  return status.ok() ? CheckHeadTensor(path, model.logit_scale, {}) : status;
}

}  // namespace

absl::StatusOr<HllmFile> ParseHllmFile(absl::string_view text, absl::string_view file_name) {
  auto parsed = ParseJson(text, file_name);
  if (!parsed.ok()) return parsed.status();
  JsonFields fields(*parsed, file_name);
  if (!fields.status().ok()) return fields.status();
  const int64_t version = fields.Int("format_version", 1, std::numeric_limits<int64_t>::max());
  if (fields.status().ok() && version > kHllmVersion) {
    return absl::UnimplementedError(
        absl::StrCat(file_name, ": format_version ", version, " is newer than this program, which reads up to ", kHllmVersion));
  }
  HllmFile file;
  HllmInfo& info = file.info;
  info.job_name = fields.String("job_name");
  info.program_version = fields.String("program_version");
  info.epoch = fields.Int("epoch", 0, std::numeric_limits<int64_t>::max());
  info.step = fields.Int("step", 0, std::numeric_limits<int64_t>::max());
  if (fields.Has("validation_loss")) info.validation_loss = fields.Number("validation_loss", -kMaxNumber, kMaxNumber);
  info.data_hash = fields.String("data_hash");
  info.item_prompt = fields.String("item_prompt");
  info.max_text_length = fields.Int("max_text_length", 1, 1 << 24);
  info.max_seq_length = fields.Int("max_seq_length", 2, 1 << 24);
  info.item_emb_token_n = fields.Int("item_emb_token_n", 0, 1 << 16);
  info.nce_thres = fields.Number("nce_thres", -kMaxNumber, kMaxNumber);
  if (!fields.status().ok()) return fields.status();
  auto decay = UnreadDecayFromJson(*parsed, file_name);
  if (!decay.ok()) return decay.status();
  info.unread_decay = *std::move(decay);
  const json keys = parsed->value("text_keys", json());
  for (const json& key : keys) {
    if (!keys.is_array() || !key.is_string())
      return absl::InvalidArgumentError(absl::StrCat(file_name, ": text_keys: must be an array of strings"));
    info.text_keys.push_back(key.get<std::string>());
  }
  auto files = FilesFromJson(*parsed, file_name);
  if (!files.ok()) return files.status();
  file.files = *std::move(files);
  return file;
}

absl::Status WriteHllmFile(const std::filesystem::path& dir, const HllmInfo& info,
                           const std::map<std::string, FileDigest>& files) {
  return storage::WriteFileAtomically(dir / kHllmFile, FormatHllmFile(info, files));
}

absl::StatusOr<WrittenBestModel> WriteBestModel(const std::filesystem::path& dir, const HllmInfo& info,
                                                const BestModelTensors& tensors, storage::FileSystem& files) {
  if (auto status = storage::CreateFolders(dir.parent_path(), dir, files); !status.ok()) return status;
  // It would vouch for files that are about to change.
  if (auto status = files.RemoveFile(dir / kHllmFile); !status.ok()) return status;

  std::map<std::string, FileDigest> digests;
  for (const auto& [folder, side] : {std::pair(kItemModelFolder, &tensors.item), std::pair(kUserModelFolder, &tensors.user)}) {
    auto written = WriteHfModel(dir / folder, *side, files);
    if (!written.ok()) return written.status();
    for (auto& [name, digest] : *written) digests[absl::StrCat(folder, "/", name)] = std::move(digest);
  }
  TensorInfo head[] = {tensors.item_emb_tokens, tensors.logit_scale};
  head[0].name = "item_emb_tokens";
  head[1].name = "logit_scale";
  auto digest = WriteTensors(dir / kHeadFile, head, {{"format", "pt"}}, files);
  if (!digest.ok()) return digest.status();
  digests[kHeadFile] = *std::move(digest);

  const std::string text = FormatHllmFile(info, digests);
  if (auto status = storage::WriteFileAtomically(dir / kHllmFile, text, files); !status.ok()) return status;
  const FileDigest info_digest = DigestOf(text);
  WrittenBestModel result{info_digest.bytes, info_digest.xxh3};
  for (const auto& [name, file] : digests) result.bytes += file.bytes;
  return result;
}

absl::StatusOr<BestModel> OpenBestModel(const std::filesystem::path& dir) {
  const auto info_path = dir / kHllmFile;
  auto text = ReadTextFile(info_path, kMaxHllmBytes);
  if (!text.ok()) return text.status();
  auto file = ParseHllmFile(*text, info_path.string());
  if (!file.ok()) return file.status();
  if (auto status = VerifyFiles(dir, file->files); !status.ok()) return status;
  BestModel model;
  model.info = std::move(file->info);
  if (auto status = OpenSide(dir / kItemModelFolder, model.item_config, model.item); !status.ok()) return status;
  if (auto status = OpenSide(dir / kUserModelFolder, model.user_config, model.user); !status.ok()) return status;
  if (auto status = OpenHead(dir / kHeadFile, model); !status.ok()) return status;
  return model;
}

}  // namespace pixelrec::checkpoint
