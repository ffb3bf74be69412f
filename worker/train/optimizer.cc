#include "worker/train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

namespace pixelrec::train {

double ClipGradients(dist::FlatParameters& parameters, double max_norm) {
  const double norm = at::linalg_vector_norm(parameters.gradients(), 2, {}, false, at::kDouble).item<double>();
  if (!std::isfinite(norm)) return norm;
  const double factor = max_norm / (norm + 1e-6);
  if (factor < 1) at::Tensor(parameters.gradients()).mul_(factor);
  return norm;
}

AdamW::AdamW(dist::FlatParameters& parameters, const Options& options)
    : parameters_(parameters),
      options_(options),
      exp_avg_(at::zeros_like(parameters.weights())),
      exp_avg_sq_(at::zeros_like(parameters.weights())),
      step_(at::zeros({}, at::kFloat)) {}

void AdamW::Step(double learning_rate) {
  const at::NoGradGuard no_graph;
  step_.add_(1);
  at::_fused_adamw_({parameters_.weights()}, {parameters_.gradients()}, {exp_avg_}, {exp_avg_sq_}, {}, {step_}, learning_rate,
                    options_.beta1, options_.beta2, options_.weight_decay, options_.epsilon, /*amsgrad=*/false,
                    /*maximize=*/false);
}

int64_t AdamW::steps() const { return static_cast<int64_t>(step_.item<float>()); }
void AdamW::set_steps(int64_t steps) { step_.fill_(static_cast<double>(steps)); }

}  // namespace pixelrec::train
