#include "worker/checkpoint/model_weights.h"

#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/decoder_tensors.h"

namespace pixelrec::checkpoint {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

struct FoundTensor {
  const TensorFile* file;
  TensorInfo info;
};

// Every tensor of every file, by its plain name.
absl::StatusOr<std::map<std::string, FoundTensor>> Collect(const std::vector<std::unique_ptr<TensorFile>>& files,
                                                           const DecoderConfig& config) {
  std::map<std::string, FoundTensor> found;
  for (const auto& file : files) {
    for (const auto& [stored_name, info] : file->tensors()) {
      const std::string name = PlainName(config, stored_name);
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

}  // namespace

absl::StatusOr<ModelWeights> OpenModelWeights(const std::filesystem::path& model_dir, const DecoderConfig& config) {
  ModelWeights weights;
  auto files = OpenWeightFiles(model_dir);
  if (!files.ok()) return files.status();
  weights.files = *std::move(files);
  auto found = Collect(weights.files, config);
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
    } else if (IsInsideModel(config, name)) {
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
