// The most that one optimiser step holds beyond the state of state_memory.h, and so the other moments of a job that need memory.
// Tests hold it against the allocations of real steps. Threads: pure functions. Units: bytes.
#pragma once

#include <cstdint>

#include "worker/dist/unit_layout.h"
#include "worker/plan/batch_shape.h"
#include "worker/plan/model_settings.h"

namespace pixelrec::plan {

struct StepMemory {
  int64_t activations = 0;  // and gradients on their way
  int64_t collectives = 0;  // what they add to the peak
};
StepMemory StepOf(const ModelSettings& model, const BatchShape& shape, bool checkpointing, const dist::UnitLayout& layout,
                  int world_size);

// Embeddings of all `items` of the catalogue, and the ranking of targets among them.
int64_t EvaluationMemory(const ModelSettings& model, int64_t items, int64_t tokens_per_item, int world_size);
// On rank 0, which holds all sharded weights whole in fp32 while best_model/ is written.
int64_t BestModelMemory(const dist::UnitLayout& layout, int world_size);

}  // namespace pixelrec::plan
