// pixelrec-trainer plan: what a job will do and need, from its settings, the models' config.json and the data's sizes alone.
// Reads no weight.
//
// Threads: pure functions, but for the files they read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/prepare.h"
#include "worker/train/compute_type.h"
#include "worker/train/train_job.h"

namespace pixelrec::tools {

struct PlanRequest {
  train::TrainJob job;  // of rank 0
  data::PrepareOptions data;
  std::vector<std::filesystem::path> cache_dirs;  // where prepared datasets may lie
  train::ComputeType compute_type = train::ComputeType::kFp32;
};

// One JSON object (docs/distributed.md, "Memory"). Errors of checkpoint::ReadDecoderConfig and data::LookAhead; INVALID_ARGUMENT:
// models that don't fit together.
absl::StatusOr<std::string> PlanAsJson(const PlanRequest& request);

}  // namespace pixelrec::tools
