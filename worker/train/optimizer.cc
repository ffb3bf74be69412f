#include "worker/train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "worker/model/hllm.h"

namespace pixelrec::train {

double ClipGradients(const dist::UnitExchange& exchange, dist::FlatParameters& parameters, double max_norm) {
  const double norm = std::sqrt(exchange.SumOfSquares(parameters.gradients()));
  if (!std::isfinite(norm)) return norm;
  const double factor = max_norm / (norm + 1e-6);
  if (factor < 1) at::Tensor(parameters.gradients()).mul_(factor);
  return norm;
}

void FollowMasters(dist::UnitExchange& exchange, dist::FlatParameters& parameters, const CompatTraining& compat) {
  const at::NoGradGuard no_graph;
  if (!compat.bf16_rounding) parameters.weight("logit_scale").clamp_(0, model::kMaxLogitScale);
  exchange.PublishWeights();
  if (compat.bf16_rounding) parameters.leaf("logit_scale").clamp_(0, model::kMaxLogitScale);
}

AdamW::AdamW(dist::FlatParameters& parameters, const std::vector<ParameterGroup>& groups, const Options& options)
    : options_(options),
      exp_avg_(at::zeros_like(parameters.weights())),
      exp_avg_sq_(at::zeros_like(parameters.weights())),
      step_(at::zeros({}, parameters.weights().options())) {
  for (const ParameterGroup& group : groups) {
    Group& views = groups_.emplace_back(Group{.lr_factor = group.lr_factor});
    for (const auto& [begin, end] : group.ranges) {
      views.weights.push_back(parameters.weights().narrow(0, begin, end - begin));
      views.gradients.push_back(parameters.gradients().narrow(0, begin, end - begin));
      views.exp_avg.push_back(exp_avg_.narrow(0, begin, end - begin));
      views.exp_avg_sq.push_back(exp_avg_sq_.narrow(0, begin, end - begin));
      views.steps.push_back(step_);
    }
  }
}

void AdamW::Step(double learning_rate) {
  const at::NoGradGuard no_graph;
  step_.add_(1);
  for (const Group& g : groups_) {
    at::_fused_adamw_(g.weights, g.gradients, g.exp_avg, g.exp_avg_sq, {}, g.steps, learning_rate * g.lr_factor, options_.beta1,
                      options_.beta2, options_.weight_decay, options_.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
}

int64_t AdamW::steps() const { return static_cast<int64_t>(step_.item<float>()); }
void AdamW::set_steps(int64_t steps) { step_.fill_(static_cast<double>(steps)); }

}  // namespace pixelrec::train
