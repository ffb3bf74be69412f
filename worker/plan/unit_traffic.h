// What collectives of units hold while passes go on, as worker/dist/unit_exchange.h starts and awaits them.
//
// Collectives are Gloo's, which gathers into a buffer of its own and reduces a copy. Threads: one at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "worker/dist/unit_layout.h"
#include "worker/plan/state_memory.h"
#include "worker/plan/timeline.h"

namespace pixelrec::plan {

// `layout` and `timeline` must outlive this.
class UnitTraffic {
 public:
  UnitTraffic(const dist::UnitLayout& layout, const Widths& widths, int world_size, Timeline& timeline)
      : units_(layout.units()), widths_(widths), active_(world_size > 1), timeline_(timeline) {}

  void BeforePass(size_t unit) { timeline_.Hold(Gathering(unit)); }
  void AfterPass(size_t unit) { timeline_.Release(Gathering(unit)); }

  // Two reductions at most are under way; the one before last is awaited when a gradient buffer is asked for.
  void BeforeBackward(size_t unit) {
    if (reductions_.size() == 2) Collect();
    BeforePass(unit);
  }
  void AfterBackward(size_t unit) {
    AfterPass(unit);
    if (!active_ || units_[unit].stage < 2) return;
    reductions_.push_back((units_[unit].numel + units_[unit].owned) * widths_.gradients);
    timeline_.Hold(reductions_.back());
  }
  // Stage 1 reduces everything at once.
  void Finish() {
    while (!reductions_.empty()) Collect();
    int64_t whole = 0;
    for (const dist::UnitPlace& unit : units_)
      whole += active_ && unit.stage == 1 ? (unit.numel + unit.owned) * widths_.gradients : 0;
    timeline_.Touch(whole);
  }
  // The update: a norm in fp64, then the gathers of what it changed, one after another.
  void Update() {
    int64_t norm = 0, gather = 0;
    for (const dist::UnitPlace& unit : units_) {
      norm = std::max(norm, unit.owned * int64_t{8});
      if (active_ && (unit.stage == 1 || unit.stage == 2)) gather = std::max(gather, unit.numel * widths_.weights);
    }
    timeline_.Touch(std::max(norm, gather));
  }

 private:
  // This unit's gather or its neighbour's.
  int64_t Gathering(size_t unit) const {
    int64_t largest = 0;
    for (size_t u = unit == 0 ? 0 : unit - 1; u <= unit + 1 && u < units_.size(); ++u)
      largest = std::max(largest, units_[u].stage == 3 ? units_[u].numel : 0);
    return active_ && units_[unit].stage == 3 ? largest * widths_.weights : 0;
  }
  void Collect() {
    timeline_.Release(reductions_.front());
    reductions_.pop_front();
  }

  const std::vector<dist::UnitPlace>& units_;
  Widths widths_;
  bool active_;
  Timeline& timeline_;
  std::deque<int64_t> reductions_;
};

}  // namespace pixelrec::plan
