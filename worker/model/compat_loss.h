// The NCE loss as the reference computes it, quirks included: the oracle of `numerics: compat`, never used by `exact`.
//
// Threads: one thread at a time. Shape letters: R rows (valid pairs), K negatives, H hidden.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/model/hllm.h"

namespace pixelrec::model {

// Rules N1, N2, N4 and P1 in the dtype of user_RH: in bf16 the cosines, the filter (0.99 is then in effect >= 0.9921875), the
// scaled logits and the cross entropy are rounded to bf16, as the reference's module is cast to it. logit_scale is read as it is:
// clamped before use, in that dtype (N1). -> the loss is the mean over the rows (N5), not their sum; no rows: 0.
struct CompatNceLoss {
  at::Tensor mean;    // []
  at::Tensor logits;  // [R, 1 + K] after scale; filtered ones are the lowest value of the dtype times the scale
};
CompatNceLoss ComputeCompatNceLoss(const at::Tensor& user_RH, const at::Tensor& target_RH, const at::Tensor& negatives_KH,
                                   const at::Tensor& logit_scale, double threshold = kNceThreshold);

}  // namespace pixelrec::model
