// What lies under a path: a trained HLLM of any kind, a model directory, a file of tensors. For people; nothing here is needed to
// train.
//
// Threads: call from one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace pixelrec::checkpoint {

struct InspectedPart {
  int64_t tensors = 0;
  int64_t parameters = 0;  // elements
  uint64_t bytes = 0;
  std::set<std::string> dtypes;
};

struct Inspection {
  std::string kind;  // "best_model", "DeepSpeed ZeRO stage 2 checkpoint of 8 ranks", "model directory (llama)", ...
  std::vector<std::pair<std::string, std::string>> facts;  // in the order to show: architecture, epoch, prompt, ...
  std::map<std::string, InspectedPart> parts;              // "item_llm.layers", "lm_head", ...
  int64_t verified_files = 0;                              // whose size and digest are as recorded; 0: none are recorded
  std::vector<std::string> tokenizer_files;                // of the item model or the model directory
  std::map<std::string, std::string> ignored;              // entries that aren't used -> why
};

// Reads all of it, and verifies what has digests. Errors of OpenHllmWeights, OpenModelWeights, TensorFile::Open: damage is named.
absl::StatusOr<Inspection> Inspect(const std::filesystem::path& path);

}  // namespace pixelrec::checkpoint
