// job.yaml -> JobSpec. Syntax and schema errors carry file, line, column and the nearest valid key; the same checks of values run
// again in the coordinator, on whatever a client sent.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::config {

// Parses one job.yaml. `file` names the source in errors; relative paths in it are resolved against `base_dir` (absolute).
// `overrides` are "spec.train.learning_rate=1e-3" assignments (pixelrecctl submit --set), applied before validation.
// The result has every default applied and has passed ValidateJobSpec.
// A DeepSpeed file that the job names is read from disk and merged (see ParseJobDocument).
// INVALID_ARGUMENT: "FILE:LINE:COLUMN: what is wrong; how to mend it" (duplicate or unknown key, cycle, depth, wrong type,
// range).
absl::StatusOr<v1::JobSpec> ParseJobYaml(absl::string_view yaml, absl::string_view file, absl::string_view base_dir,
                                         const std::vector<std::string>& overrides = {});

// Gives every absent field its default (the table in common/config/job_fields.cc). Idempotent.
void ApplyDefaults(v1::JobSpec& spec);

// Ranges, required fields, contradictions, and everything asked for that this version doesn't do.
// INVALID_ARGUMENT: "spec.train.learning_rate: must be > 0 (got -1)".
absl::Status ValidateJobSpec(const v1::JobSpec& spec);

// Users per optimiser step (rule W10): global_batch_size, else per_device_train_batch_size x workers x
// gradient_accumulation_steps.
int64_t GlobalBatchSize(const v1::JobSpec& spec);

}  // namespace pixelrec::config
