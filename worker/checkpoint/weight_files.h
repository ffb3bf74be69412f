// The files that hold a model directory's weights, by the names that transformers gives them: model.safetensors, or the shards of
// model.safetensors.index.json, or pytorch_model.bin, or the shards of pytorch_model.bin.index.json; the first that is there.
//
// Threads: pure functions of the file system.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/tensor_file.h"

namespace pixelrec::checkpoint {

// NOT_FOUND: no weights in `dir`, or a shard is missing. INVALID_ARGUMENT: an index that disagrees with its shards. Errors of
// TensorFile::Open.
absl::StatusOr<std::vector<std::unique_ptr<TensorFile>>> OpenWeightFiles(const std::filesystem::path& dir);

// An index -> tensor name -> file name (plain names with that ending). Exposed for fuzzing.
absl::StatusOr<std::map<std::string, std::string>> ParseShardIndex(absl::string_view json, absl::string_view file_name,
                                                                   absl::string_view ending = ".safetensors");

}  // namespace pixelrec::checkpoint
