// The folder that DeepSpeed's save_checkpoint writes with ZeRO: the fp32 master weights, put together from every rank's
// partitions (hllm.md section 5). Stage 1 and 2: each group's flat vector is cut into `world` slices; stage 3: each parameter on
// its own.
//
// Weights that lie in one rank's file stay where they are (mapped); a weight that is cut is copied, so that a stage 3 folder
// takes its weights' size in memory. Optimiser state is not read. Not for pipeline, tensor or expert parallel folders
// (mp_rank_01, expert_*), which are refused. Threads: immutable once opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/checkpoint/torch_file/torch_file.h"

namespace pixelrec::checkpoint {

struct DeepSpeedCheckpoint {
  std::filesystem::path folder;  // with the files: <dir>/<tag>, or <dir> itself
  int stage = 0;                 // 0: DeepSpeed without ZeRO; the module's own weights
  int world_size = 0;
  std::string version;       // of DeepSpeed; empty where the file doesn't say
  int64_t global_steps = 0;  // 0 where the file doesn't say
  // By the module's names: trained weights in F32, frozen ones and buffers as they were.
  std::map<std::string, TensorInfo> tensors;
  std::vector<std::unique_ptr<TorchFile>> files;
  std::vector<std::unique_ptr<std::byte[]>> copies;
};

// `dir`, and its errors: see DeepSpeedTagFolder. INVALID_ARGUMENT: ranks are missing or disagree, a flat vector doesn't hold what
// the shapes ask for. Errors of TorchFile::Open.
absl::StatusOr<DeepSpeedCheckpoint> OpenDeepSpeedCheckpoint(const std::filesystem::path& dir);

}  // namespace pixelrec::checkpoint
