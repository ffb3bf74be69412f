#include "worker/model/weight_schedule.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

namespace pixelrec::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Autograd runs the youngest ready node first, so when this one runs, all of the unit above are done, its leaves' gradients
// accumulated.
struct Border : torch::autograd::Function<Border> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& /*anchor*/, at::TensorList activations,
                               WeightSchedule* schedule, int64_t below, int64_t above) {
    ctx->saved_data["schedule"] = reinterpret_cast<int64_t>(schedule);
    ctx->saved_data["below"] = below;
    ctx->saved_data["above"] = above;
    variable_list outputs;
    for (const at::Tensor& x : activations) outputs.push_back(x.view(x.sizes()));
    return outputs;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto* schedule = reinterpret_cast<WeightSchedule*>(ctx->saved_data["schedule"].toInt());
    const auto below = static_cast<size_t>(ctx->saved_data["below"].toInt());
    const auto above = static_cast<size_t>(ctx->saved_data["above"].toInt());
    if (above != kNoUnit) schedule->AfterBackward(above);
    if (below != kNoUnit) schedule->BeforeBackward(below);
    variable_list result = {at::Tensor()};
    result.insert(result.end(), grads.begin(), grads.end());
    result.resize(result.size() + 3);  // schedule, below, above
    return result;
  }
};

}  // namespace

void MarkBorder(WeightSchedule* schedule, size_t below, size_t above, std::vector<at::Tensor>& activations) {
  if (schedule == nullptr || !at::GradMode::is_enabled()) return;
  // The anchor makes a node even where no activation asks for a gradient (a frozen model below).
  const at::Tensor anchor = at::empty({0}, activations.front().options().requires_grad(false)).requires_grad_(true);
  activations =
      Border::apply(anchor, at::TensorList(activations), schedule, static_cast<int64_t>(below), static_cast<int64_t>(above));
}

}  // namespace pixelrec::model
