#include "worker/plan/state_memory.h"

#include <algorithm>

namespace pixelrec::plan {
namespace {

// As in worker/dist/unit_exchange.cc.
constexpr int64_t kWeightSlots = 3;
constexpr int64_t kGradientSlots = 2;
constexpr int64_t kStepCount = 4;

bool Sharded(const dist::UnitLayout& layout) {
  const auto& units = layout.units();
  return std::any_of(units.begin(), units.end(), [](const dist::UnitPlace& unit) { return unit.stage > 0; });
}

}  // namespace

int64_t LargestUnit(const dist::UnitLayout& layout, int stage) {
  int64_t largest = 0;
  for (const dist::UnitPlace& unit : layout.units()) {
    if (unit.stage >= stage) largest = std::max(largest, unit.numel);
  }
  return largest;
}

StateMemory StateOf(const dist::UnitLayout& layout, const Widths& widths) {
  StateMemory state;
  state.gradients = layout.owned() * kMasterBytes;
  state.moments = 2 * layout.owned() * kMasterBytes + kStepCount;
  for (const dist::UnitPlace& unit : layout.units()) {
    // Where gradients aren't rounded, a unit may keep its masters (rule W4).
    const int64_t bytes = unit.keeps_masters && widths.gradients == kMasterBytes ? kMasterBytes : widths.weights;
    const bool rounded = bytes != kMasterBytes;
    const bool whole = unit.stage == 1 || unit.stage == 2;
    (rounded || whole ? state.masters : state.weights) += unit.owned * kMasterBytes;
    if (whole || (rounded && unit.stage == 0)) state.weights += unit.numel * bytes;
    if (rounded && unit.stage == 3) state.weights += unit.owned * bytes;
    if (unit.stage == 1 || (unit.stage == 0 && widths.gradients != kMasterBytes))
      state.gradients += unit.numel * widths.gradients;
  }
  state.buffers =
      kWeightSlots * LargestUnit(layout, 3) * widths.weights + kGradientSlots * LargestUnit(layout, 2) * widths.gradients;
  return state;
}

int64_t CheckpointCopy(const dist::UnitLayout& layout, int rank) {
  if (!Sharded(layout) && rank != 0) return 0;
  return 3 * layout.owned() * kMasterBytes;
}

int64_t CheckpointBytes(const dist::UnitLayout& layout) { return 3 * layout.parameter_count() * kMasterBytes; }

}  // namespace pixelrec::plan
