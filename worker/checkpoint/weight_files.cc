#include "worker/checkpoint/weight_files.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/json_file.h"

namespace pixelrec::checkpoint {
namespace {

using Files = std::vector<std::unique_ptr<TensorFile>>;

constexpr size_t kMaxIndexBytes = size_t{64} << 20;

// Opens every shard of the index and checks that each tensor lies where the index says. NOT_FOUND: no index.
absl::StatusOr<Files> OpenShards(const std::filesystem::path& index_path, absl::string_view ending) {
  auto text = ReadTextFile(index_path, kMaxIndexBytes);
  if (!text.ok()) return text.status();
  auto index = ParseShardIndex(*text, index_path.string(), ending);
  if (!index.ok()) return index.status();
  Files files;
  std::map<std::string, TensorFile*> by_name;
  for (const auto& [tensor, file_name] : *index) {
    TensorFile*& file = by_name[file_name];
    if (file == nullptr) {
      auto opened = TensorFile::Open(index_path.parent_path() / file_name);
      if (!opened.ok()) return opened.status();
      file = opened->get();
      files.push_back(*std::move(opened));
    }
    if (!file->tensors().contains(tensor) && !file->skipped().contains(tensor)) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path.string(), ": says that tensor ", tensor, " is in ", file_name, ", which doesn't have it"));
    }
  }
  return files;
}

absl::StatusOr<Files> OpenSingle(const std::filesystem::path& path) {
  auto file = TensorFile::Open(path);
  if (!file.ok()) return file.status();
  Files files;
  files.push_back(*std::move(file));
  return files;
}

}  // namespace

absl::StatusOr<Files> OpenWeightFiles(const std::filesystem::path& dir) {
  for (const auto& [stem, ending] : {std::pair("model", ".safetensors"), std::pair("pytorch_model", ".bin")}) {
    const std::filesystem::path single = dir / absl::StrCat(stem, ending),
                                index = dir / absl::StrCat(stem, ending, ".index.json");
    std::error_code ignored;
    if (std::filesystem::exists(single, ignored)) return OpenSingle(single);
    if (std::filesystem::exists(index, ignored)) return OpenShards(index, ending);
  }
  return absl::NotFoundError(
      absl::StrCat(dir.string(),
                   ": no weights; a model directory holds model.safetensors or pytorch_model.bin, or shards and "
                   "model.safetensors.index.json or pytorch_model.bin.index.json"));
}

absl::StatusOr<std::map<std::string, std::string>> ParseShardIndex(absl::string_view text, absl::string_view file_name,
                                                                   absl::string_view ending) {
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
        !absl::EndsWith(name, ending)) {
      return refuse(absl::StrCat("weight_map: ", tensor, ": \"", name, "\" is not the plain name of a ", ending, " file"));
    }
    index.emplace(tensor, name);
  }
  if (index.empty()) return refuse("weight_map: names no tensor");
  return index;
}

}  // namespace pixelrec::checkpoint
