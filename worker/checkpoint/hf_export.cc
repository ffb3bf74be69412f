#include "worker/checkpoint/hf_export.h"

#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/decoder_tensors.h"
#include "worker/checkpoint/json_file.h"

namespace pixelrec::checkpoint {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr size_t kMaxTokenizerBytes = size_t{256} << 20;

// What a tokenizer and generation need beside the weights; each is copied where the source has it.
constexpr std::array<const char*, 10> kCopiedFiles = {
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt",      "merges.txt",      "chat_template.jinja",   "generation_config.json"};

absl::StatusOr<FileDigest> WriteText(const std::filesystem::path& path, absl::string_view text, storage::FileSystem& files) {
  if (auto status = storage::WriteFileAtomically(path, text, files); !status.ok()) return status;
  return DigestOf(text);
}

// The model's tensors in the decoder's order, trained where there is one, under transformers' names.
absl::StatusOr<std::vector<TensorInfo>> Assemble(const HfExport& model) {
  std::vector<TensorInfo> tensors;
  size_t used = 0;
  for (const TensorSpec& spec : DecoderTensors(*model.config)) {
    const auto trained = model.trained.find(spec.name);
    TensorInfo tensor;
    if (trained != model.trained.end()) {
      ++used;
      tensor = trained->second;
    } else if (model.original != nullptr && model.original->tensors.count(spec.name) != 0) {
      tensor = model.original->tensors.at(spec.name);
    } else {
      return absl::InvalidArgumentError(absl::StrCat("cannot write a model without tensor ", spec.name));
    }
    if (tensor.shape != spec.shape)
      return absl::InvalidArgumentError(absl::StrCat("cannot write tensor ", spec.name, ": wrong shape"));
    tensor.name = StoredName(*model.config, spec.name);
    tensors.push_back(std::move(tensor));
  }
  if (used != model.trained.size())
    return absl::InvalidArgumentError("cannot write a model with tensors that its config.json doesn't know");
  if (model.original != nullptr && model.original->lm_head) {
    tensors.push_back(*model.original->lm_head);
    tensors.back().name = "lm_head.weight";
  }
  return tensors;
}

absl::string_view TorchName(absl::string_view dtype) {
  if (dtype == "BF16") return "bfloat16";
  if (dtype == "F16") return "float16";
  return "float32";
}

}  // namespace

absl::StatusOr<std::string> ConfigWithDtype(absl::string_view config_json, absl::string_view dtype, absl::string_view file_name) {
  if (auto checked = ParseJson(config_json, file_name); !checked.ok()) return checked.status();
  auto config = nlohmann::ordered_json::parse(config_json.begin(), config_json.end(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::InvalidArgumentError(absl::StrCat(file_name, ": must be a JSON object"));
  const std::string name(TorchName(dtype));
  if (config.contains("dtype")) config["dtype"] = name;
  if (config.contains("torch_dtype") || !config.contains("dtype")) config["torch_dtype"] = name;
  return config.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

absl::StatusOr<std::map<std::string, FileDigest>> WriteHfModel(const std::filesystem::path& dir, const HfExport& model,
                                                               storage::FileSystem& files) {
  auto tensors = Assemble(model);
  if (!tensors.ok()) return tensors.status();
  if (auto status = storage::CreateFolders(dir.parent_path(), dir, files); !status.ok()) return status;

  std::map<std::string, FileDigest> digests;
  const auto config_path = model.source_dir / "config.json";
  auto config = ReadTextFile(config_path, kMaxConfigBytes);
  if (!config.ok()) return config.status();
  const std::string dtype = model.trained.empty() ? tensors->front().dtype : model.trained.begin()->second.dtype;
  config = ConfigWithDtype(*config, dtype, config_path.string());
  if (!config.ok()) return config.status();
  auto written = WriteText(dir / "config.json", *config, files);
  if (!written.ok()) return written.status();
  digests["config.json"] = *std::move(written);

  for (const char* name : kCopiedFiles) {
    auto text = ReadTextFile(model.source_dir / name, kMaxTokenizerBytes);
    if (absl::IsNotFound(text.status())) continue;
    if (!text.ok()) return text.status();
    written = WriteText(dir / name, *text, files);
    if (!written.ok()) return written.status();
    digests[name] = *std::move(written);
  }
  // transformers refuses a file without this entry.
  written = WriteTensors(dir / "model.safetensors", *tensors, {{"format", "pt"}}, files);
  if (!written.ok()) return written.status();
  digests["model.safetensors"] = *std::move(written);
  if (auto status = files.SyncFolder(dir); !status.ok()) return status;
  return digests;
}

}  // namespace pixelrec::checkpoint
