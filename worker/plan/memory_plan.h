// Bytes that one rank of a job needs, by kind, and what of it comes together when.
//
// Threads: pure functions. Units: bytes of tensors; the program itself and what its allocator can't give back come on top.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/plan/batch_shape.h"
#include "worker/plan/state_memory.h"
#include "worker/plan/step_memory.h"

namespace pixelrec::plan {

struct Variant {
  int world_size = 1;
  int item_zero_stage = 0;
  int user_zero_stage = 0;
  bool gradient_checkpointing = true;
};

struct Workload {
  ModelSettings model;
  // Micro-steps of single ranks; the largest counts. Not empty.
  std::vector<BatchShape> shapes;
  int64_t catalogue = 0;        // items that evaluation ranks
  int64_t tokens_per_item = 0;  // on average, embedding token included
  // A checkpoint is written while steps go on: not so in the only epoch of a job without recovery checkpoints.
  bool trains_past_checkpoints = true;
};

// Of rank 0, which gathers best_model/ and writes what isn't sharded.
struct RankMemory {
  StateMemory state;
  StepMemory step;              // of the largest shape
  int64_t checkpoint_copy = 0;  // held while it is written
  int64_t evaluation = 0;
  int64_t best_model = 0;
  int64_t peak = 0;  // the state and the largest of what comes besides
};

dist::UnitLayout LayoutFor(const ModelSettings& model, const Variant& variant);
RankMemory MemoryOf(const Workload& workload, const Variant& variant);

}  // namespace pixelrec::plan
