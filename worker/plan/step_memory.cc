#include "worker/plan/step_memory.h"

#include <algorithm>
#include <vector>

#include "worker/model/parts.h"
#include "worker/plan/decoder_pass.h"
#include "worker/plan/micro_step.h"

namespace pixelrec::plan {

StepMemory StepOf(const ModelSettings& model, const BatchShape& shape, bool checkpointing, const dist::UnitLayout& layout,
                  int world_size) {
  StepMemory step;
  BatchShape alone = shape;
  alone.negatives = alone.largest_negatives = shape.all_negatives;
  step.activations = MicroStep(model, alone, checkpointing, layout, 1).Peak();
  step.collectives = std::max<int64_t>(0, MicroStep(model, shape, checkpointing, layout, world_size).Peak() - step.activations);
  return step;
}

int64_t EvaluationMemory(const ModelSettings& model, int64_t items, int64_t tokens_per_item, int world_size) {
  // As in worker/eval: calls of many parts, then one matrix on every rank, normalised and transposed to rank by.
  const int64_t users = std::clamp<int64_t>((int64_t{4} << 20) / (items + 1), 1, 256), scores = users * (items + 1) * 4;
  const int64_t per_part = (model::kTokensPerPart + tokens_per_item - 1) / std::max<int64_t>(1, tokens_per_item);
  std::vector<BatchShape::Part> parts;
  for (int64_t left = items; left > 0 && static_cast<int64_t>(parts.size()) < model::kPartsPerCall; left -= per_part)
    parts.push_back({.tokens = std::min(left, per_part) * tokens_per_item, .items = std::min(left, per_part)});
  if (parts.empty()) return 0;
  const Numbers numbers{.bytes = model.widths.weights, .fused = model.fused};
  const DecoderPass pass(model.item_llm, numbers, parts, model.item_emb_token_n > 0, false);
  Timeline call;
  call.Touch(2 * pass.input());
  call.Hold(pass.input());
  pass.ForwardAlone(call);
  const int64_t matrix = (items + 1) * model.item_llm.hidden_size * 4, share = matrix / world_size;
  const int64_t gathering = world_size > 1 ? 2 * matrix + 3 * share : 3 * matrix;
  return std::max({share + call.peak(), gathering, 3 * matrix, 2 * matrix + 2 * scores});
}

int64_t BestModelMemory(const dist::UnitLayout& layout, int world_size) {
  int64_t whole = 0;
  for (const dist::UnitPlace& unit : layout.units()) whole += unit.stage > 0 ? unit.numel * kMasterBytes : 0;
  return whole + (world_size > 1 ? LargestUnit(layout, 1) * kMasterBytes : 0);
}

}  // namespace pixelrec::plan
