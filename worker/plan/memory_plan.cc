#include "worker/plan/memory_plan.h"

#include <algorithm>

#include "worker/checkpoint/hllm_units.h"

namespace pixelrec::plan {

dist::UnitLayout LayoutFor(const ModelSettings& model, const Variant& variant) {
  return {checkpoint::HllmUnits(model.item_llm, model.user_llm, model.item_emb_token_n, variant.item_zero_stage,
                                variant.user_zero_stage),
          /*rank=*/0, variant.world_size};
}

RankMemory MemoryOf(const Workload& workload, const Variant& variant) {
  const dist::UnitLayout layout = LayoutFor(workload.model, variant);
  RankMemory memory;
  memory.state = StateOf(layout, workload.model.widths);
  for (const BatchShape& shape : workload.shapes) {
    const StepMemory step = StepOf(workload.model, shape, variant.gradient_checkpointing, layout, variant.world_size);
    if (step.activations + step.collectives > memory.step.activations + memory.step.collectives) memory.step = step;
  }
  memory.checkpoint_copy = CheckpointCopy(layout, 0);
  memory.evaluation = EvaluationMemory(workload.model, workload.catalogue, workload.tokens_per_item, variant.world_size);
  memory.best_model = BestModelMemory(layout, variant.world_size);
  const int64_t step = memory.step.activations + memory.step.collectives;
  memory.peak = memory.state.total() + std::max({step + (workload.trains_past_checkpoints ? memory.checkpoint_copy : 0),
                                                 memory.checkpoint_copy, memory.evaluation, memory.best_model});
  return memory;
}

}  // namespace pixelrec::plan
