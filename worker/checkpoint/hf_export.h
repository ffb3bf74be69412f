// Writes a Hugging Face model directory that transformers loads: the original config.json (its dtype made true), trained weights,
// the tensors that were not trained from the original files, and the tokenizer's files.
//
// Threads: call from one thread.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/digest.h"
#include "worker/checkpoint/model_weights.h"

namespace pixelrec::checkpoint {

struct HfExport {
  std::filesystem::path source_dir;  // where config.json and the tokenizer come from
  const DecoderConfig* config = nullptr;
  const ModelWeights* original = nullptr;     // gives what `trained` lacks, and lm_head
  std::map<std::string, TensorInfo> trained;  // by DecoderTensors' names; all of one dtype
};

// Into `dir`, made if absent; everything synced. Returns the files written, by plain name.
// INVALID_ARGUMENT: a trained tensor that the model doesn't have, or of another shape; a tensor that neither side has.
absl::StatusOr<std::map<std::string, FileDigest>> WriteHfModel(const std::filesystem::path& dir, const HfExport& model,
                                                               storage::FileSystem& files = storage::RealFileSystem());

// config.json with the dtype that the weights now have ("F32" -> "float32"), under the spelling that the file uses, because
// transformers 5 loads in that dtype by default. The order of the fields stays.
absl::StatusOr<std::string> ConfigWithDtype(absl::string_view config_json, absl::string_view dtype, absl::string_view file_name);

}  // namespace pixelrec::checkpoint
