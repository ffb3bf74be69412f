#include "worker/checkpoint/model_weights.h"

#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "worker/checkpoint/json_file.h"

namespace pixelrec::checkpoint {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kShardIndex[] = "model.safetensors.index.json";
constexpr size_t kMaxIndexBytes = size_t{64} << 20;

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

absl::Status NoWeights(const std::filesystem::path& dir) {
  std::error_code ignored;
  std::string hint = "a model directory holds model.safetensors, or shards and model.safetensors.index.json";
  if (std::filesystem::exists(dir / "pytorch_model.bin", ignored) ||
      std::filesystem::exists(dir / "pytorch_model.bin.index.json", ignored)) {
    hint =
        "it has pytorch_model.bin, which is not read; save the model again with transformers' "
        "save_pretrained(safe_serialization=True)";
  }
  return absl::NotFoundError(absl::StrCat(dir.string(), ": no weights; ", hint));
}

// Opens every shard of the index and checks that each tensor lies where the index says.
absl::Status OpenShards(const std::filesystem::path& dir, std::vector<std::unique_ptr<SafetensorsFile>>& files) {
  const auto index_path = dir / kShardIndex;
  auto text = ReadTextFile(index_path, kMaxIndexBytes);
  if (absl::IsNotFound(text.status())) return NoWeights(dir);
  if (!text.ok()) return text.status();
  auto index = ParseShardIndex(*text, index_path.string());
  if (!index.ok()) return index.status();
  std::map<std::string, SafetensorsFile*> by_name;
  for (const auto& [tensor, file_name] : *index) {
    SafetensorsFile*& file = by_name[file_name];
    if (file == nullptr) {
      auto opened = SafetensorsFile::Open(dir / file_name);
      if (!opened.ok()) return opened.status();
      file = opened->get();
      files.push_back(*std::move(opened));
    }
    if (file->tensors().count(tensor) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path.string(), ": says that tensor ", tensor, " is in ", file_name, ", which doesn't have it"));
    }
  }
  return absl::OkStatus();
}

struct FoundTensor {
  const SafetensorsFile* file;
  TensorInfo info;
};

// Every tensor of every file, by its name without "model.".
absl::StatusOr<std::map<std::string, FoundTensor>> Collect(const std::vector<std::unique_ptr<SafetensorsFile>>& files) {
  std::map<std::string, FoundTensor> found;
  for (const auto& file : files) {
    for (const auto& [stored_name, info] : file->tensors()) {
      const std::string name(absl::StripPrefix(stored_name, "model."));
      if (!found.emplace(name, FoundTensor{file.get(), info}).second) {
        return absl::InvalidArgumentError(
            absl::StrCat(file->path().string(), ": tensor ", name, " occurs twice among the model's files"));
      }
    }
  }
  return found;
}

absl::Status CheckTensor(const FoundTensor& found, const TensorSpec& expected) {
  const TensorInfo& info = found.info;
  if (info.shape != expected.shape) {
    return absl::InvalidArgumentError(absl::StrCat(found.file->path().string(), ": tensor ", info.name, ": expected shape ",
                                                   ShapeText(expected.shape), " by config.json, got ", ShapeText(info.shape)));
  }
  if (info.dtype != "F32" && info.dtype != "F16" && info.dtype != "BF16") {
    return absl::InvalidArgumentError(
        absl::StrCat(found.file->path().string(), ": tensor ", info.name, ": expected dtype F32, F16 or BF16, got ", info.dtype));
  }
  return absl::OkStatus();
}

// A tensor inside the decoder that the configuration doesn't know would be mathematics left out: a bias, a sixth layer of five.
bool InsideDecoder(absl::string_view name) {
  if (absl::EndsWith(name, ".rotary_emb.inv_freq")) return false;  // a table that old versions stored
  return absl::StartsWith(name, "layers.") || absl::StartsWith(name, "embed_tokens.") || absl::StartsWith(name, "norm.");
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseShardIndex(absl::string_view text, absl::string_view file_name) {
  auto parsed = ParseJson(text, file_name);
  if (!parsed.ok()) return parsed.status();
  const auto refuse = [&](absl::string_view why) { return absl::InvalidArgumentError(absl::StrCat(file_name, ": ", why)); };
  if (!parsed->is_object() || !parsed->contains("weight_map") || !(*parsed)["weight_map"].is_object()) {
    return refuse("weight_map: missing, or not an object of tensor and file names");
  }
  std::map<std::string, std::string> index;
  for (const auto& [tensor, file] : (*parsed)["weight_map"].items()) {
    if (!file.is_string()) return refuse(absl::StrCat("weight_map: ", tensor, ": must be a file name"));
    const std::string name = file.get<std::string>();
    // Only files of this folder: an index must not lead anywhere else.
    if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos || name.front() == '.' ||
        !absl::EndsWith(name, ".safetensors")) {
      return refuse(absl::StrCat("weight_map: ", tensor, ": \"", name, "\" is not the plain name of a .safetensors file"));
    }
    index.emplace(tensor, name);
  }
  if (index.empty()) return refuse("weight_map: names no tensor");
  return index;
}

absl::StatusOr<ModelWeights> OpenModelWeights(const std::filesystem::path& model_dir, const DecoderConfig& config) {
  ModelWeights weights;
  auto single = SafetensorsFile::Open(model_dir / kSingleFile);
  if (single.ok()) {
    weights.files.push_back(*std::move(single));
  } else if (!absl::IsNotFound(single.status())) {
    return single.status();
  } else if (auto status = OpenShards(model_dir, weights.files); !status.ok()) {
    return status;
  }
  auto found = Collect(weights.files);
  if (!found.ok()) return found.status();

  for (const TensorSpec& expected : DecoderTensors(config)) {
    const auto tensor = found->find(expected.name);
    if (tensor == found->end()) {
      return absl::InvalidArgumentError(absl::StrCat(model_dir.string(), ": tensor ", expected.name, ": expected shape ",
                                                     ShapeText(expected.shape), " by config.json, got no such tensor"));
    }
    if (auto status = CheckTensor(tensor->second, expected); !status.ok()) return status;
    tensor->second.info.name = expected.name;
    weights.tensors.emplace(expected.name, std::move(tensor->second.info));
    found->erase(tensor);
  }
  for (auto& [name, tensor] : *found) {
    if (name == "lm_head.weight") {
      if (auto status = CheckTensor(tensor, {name, "", {config.vocab_size, config.hidden_size}}); !status.ok()) return status;
      weights.lm_head = std::move(tensor.info);
    } else if (InsideDecoder(name)) {
      return absl::InvalidArgumentError(absl::StrCat(tensor.file->path().string(), ": tensor ", tensor.info.name,
                                                     ": unexpected; a ", config.model_type, " of ", config.num_hidden_layers,
                                                     " layers, as config.json says, has none"));
    } else {
      weights.ignored.push_back(name);
    }
  }
  return weights;
}

}  // namespace pixelrec::checkpoint
