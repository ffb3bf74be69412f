// Moves units between the shares that ranks own and the whole ones that the model computes with: ZeRO 1-3 over a process group of
// its own (hllm.md 4.1). The model's passes say which unit they are about to read and which they are done with; gathers of the
// next unit and reductions of the last one run behind the computation.
//
//   stage  whole weights                   whole gradients              after the update
//   0      always                          always, summed over ranks    -
//   1      always                          always, reduce-scattered     all-gathered, awaited by the next pass that reads the
//   unit 2      always                          a lent buffer per unit       as 1 3      in a lent buffer while in use   a lent
//   buffer per unit       -
//
// Threads: one thread at a time; collective: all ranks must make the same calls in the same order, with the same arguments.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <optional>
#include <vector>

#include "worker/dist/flat_parameters.h"
#include "worker/dist/process_group.h"

namespace pixelrec::dist {

class UnitExchange {
 public:
  // `parameters` must outlive this. `group` should serve nothing else: collectives of one group queue behind each other.
  UnitExchange(FlatParameters& parameters, const ProcessGroup& group);
  // Waits for what is under way; a broken group's errors are dropped here, since somebody has reported them.
  ~UnitExchange();
  UnitExchange(const UnitExchange&) = delete;
  UnitExchange& operator=(const UnitExchange&) = delete;

  // The unit's whole weights are in place until AfterForward.
  void BeforeForward(size_t unit);
  void AfterForward(size_t unit);
  // The unit's whole weights, and a gradient buffer, are in place until AfterBackward, which starts their reduction.
  void BeforeBackward(size_t unit);
  void AfterBackward(size_t unit);

  // After the backward pass of every micro-step: closes units that are still open and, on the last one, sums what isn't summed
  // yet. parameters.gradients() holds this rank's share of the sum over ranks and micro-steps then.
  void FinishBackward(bool last_micro_step);

  // After any change of the masters: what the model computes with follows them (rule P2).
  void PublishWeights();

  // Sum over the whole model of this rank's `values` [owned] squared, in fp64; what every rank holds counts once.
  double SumOfSquares(const at::Tensor& values) const;
  // Whole units one after another, on every rank: visit(unit, [numel]) of `values` [owned], such as the masters or a moment.
  template <typename Visit>
  void ForEachWhole(const at::Tensor& values, Visit visit) const {
    for (size_t unit = 0; unit < parameters_.layout().units().size(); ++unit) visit(unit, Whole(unit, values));
  }

 private:
  // A buffer of the largest unit's size, lent to one unit at a time.
  struct Slot {
    at::Tensor memory;
    std::optional<size_t> unit;
    Pending pending;
    at::Tensor reduced;  // gradient slots: [owned], what the reduction leaves
  };
  struct UnitState {
    Slot* weights = nullptr;    // stage 3
    Slot* gradients = nullptr;  // stages 2 and 3
    Pending published;          // stages 1 and 2: the all-gather after the update
    bool open = false;          // between BeforeBackward and AfterBackward
  };

  const UnitPlace& place(size_t unit) const { return parameters_.layout().units()[unit]; }
  at::Tensor Whole(size_t unit, const at::Tensor& values) const;
  void Acquire(size_t unit);
  void StartGather(size_t unit, Slot& slot);
  // Starts the gather of a neighbour, if it is sharded and memory is free.
  void Prefetch(size_t unit);
  void Release(size_t unit);
  Slot& FreeGradientSlot();
  void Collect(Slot& slot);
  void ReduceUnsharded();

  FlatParameters& parameters_;
  ProcessGroup group_;
  std::vector<UnitState> units_;
  std::vector<Slot> weight_slots_;
  std::vector<Slot> gradient_slots_;
  size_t next_gradient_slot_ = 0;
};

}  // namespace pixelrec::dist
