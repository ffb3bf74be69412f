// Tells whoever keeps a model's weights which of them a pass is about to read and which it is done with, so that they need not
// all be there at once.
//
// Threads: called on the thread that runs the pass; the backward pass calls from autograd's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

namespace pixelrec::model {

// Units of one decoder: 0 its embeddings, 1 + i layer i. The last norm is no part of any.
class WeightSchedule {
 public:
  virtual ~WeightSchedule() = default;
  virtual void BeforeForward(size_t unit) = 0;
  virtual void AfterForward(size_t unit) = 0;
  // Weights are read and their gradients accumulate between these. With a backward pass, both come for every unit but the
  // embeddings, whose end is the end of the pass.
  virtual void BeforeBackward(size_t unit) = 0;
  virtual void AfterBackward(size_t unit) = 0;
};

inline constexpr size_t kNoUnit = static_cast<size_t>(-1);

// Identity on the activations between unit `below` (which made them) and unit `above` (which reads them). In the backward pass it
// ends `above` and begins `below`, once the gradients of all activations have arrived; that holds on a rank without any rows too.
void MarkBorder(WeightSchedule* schedule, size_t below, size_t above, std::vector<at::Tensor>& activations);

}  // namespace pixelrec::model
