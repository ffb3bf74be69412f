// What pixelrec-trainer says a job will do and need (docs/distributed.md, "Memory").
//
// Threads: plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace pixelrec::ctl {

// One way to train the job; bytes of one rank.
struct PlannedMemory {
  bool chosen = false;
  int item_zero_stage = 0;
  int user_zero_stage = 0;
  bool gradient_checkpointing = true;
  int64_t weights = 0, masters = 0, gradients = 0, moments = 0, buffers = 0;
  int64_t activations = 0, collectives = 0;
  int64_t checkpoint_copy = 0, evaluation = 0, best_model = 0;
  int64_t peak = 0;
};

struct PlannedWorld {
  int workers = 0;
  int zero_stage = 0;
  int64_t peak = 0;
};

struct JobPlan {
  int workers = 0;
  int64_t global_batch_size = 0;
  bool prepared = false;
  int64_t steps_per_epoch = 0, total_steps = 0;
  bool exact_steps = false;
  int64_t tokens_per_step = 0, largest_micro_step = 0, steps_drawn = 0;
  int64_t parameters = 0;
  std::string compute_type;
  int64_t checkpoint_bytes = 0;
  int64_t program_bytes = 0;  // of a rank's process besides tensors
  std::vector<PlannedMemory> stages;
  std::vector<PlannedWorld> worlds;

  const PlannedMemory& chosen() const;
  // What a rank's process needs.
  int64_t needed(int64_t peak) const { return peak + program_bytes; }
};

// INTERNAL: not a plan, or one without a chosen stage; the trainer is of another version.
absl::StatusOr<JobPlan> ParseJobPlan(const nlohmann::ordered_json& json);

}  // namespace pixelrec::ctl
