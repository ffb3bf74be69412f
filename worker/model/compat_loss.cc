#include "worker/model/compat_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>

#include <limits>

namespace pixelrec::model {
namespace {

// torch.finfo(dtype).min
double LowestOf(at::ScalarType type) {
  return type == at::kBFloat16 ? static_cast<double>(std::numeric_limits<c10::BFloat16>::lowest())
                               : static_cast<double>(std::numeric_limits<float>::lowest());
}

}  // namespace

CompatNceLoss ComputeCompatNceLoss(const at::Tensor& user_RH, const at::Tensor& target_RH, const at::Tensor& negatives_KH,
                                   const at::Tensor& logit_scale, double threshold) {
  const auto normalized = [](const at::Tensor& t) { return t / t.norm(2, {-1}, true); };
  const at::Tensor o = normalized(user_RH), p = normalized(target_RH), n = normalized(negatives_KH);
  const at::Tensor positive = at::cosine_similarity(o, p, -1, 1e-8).unsqueeze(-1);
  const at::Tensor same_as_target = p.detach().mm(n.detach().t()) > threshold;
  const at::Tensor negative = o.mm(n.t()).masked_fill(same_as_target, LowestOf(o.scalar_type()));
  const at::Tensor logits = at::cat({positive, negative}, 1) * logit_scale.exp();
  if (logits.size(0) == 0) return {.mean = logits.sum(), .logits = logits};
  return {.mean = at::cross_entropy_loss(logits, at::zeros({logits.size(0)}, logits.options().dtype(at::kLong))),
          .logits = logits};
}

}  // namespace pixelrec::model
