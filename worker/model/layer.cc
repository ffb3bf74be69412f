#include "worker/model/layer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace pixelrec::model {
namespace {

at::Tensor Project(const at::Tensor& x_TI, const at::Tensor& weight_OI, const at::Tensor& bias_O) {
  return bias_O.defined() ? at::addmm(bias_O, x_TI, weight_OI.t()) : at::mm(x_TI, weight_OI.t());
}

// Where nothing stands between a projection and the residual, the product adds into it.
at::Tensor ProjectAndAdd(const LayerContext& context, const at::Tensor& residual, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias, const at::Tensor& out_norm) {
  if (!out_norm.defined()) {
    const at::Tensor sum = at::addmm(residual, x, weight.t());
    return bias.defined() ? sum + bias : sum;
  }
  return residual + ApplyNorm(context.norm, Project(x, weight, bias), out_norm, {}, context.norm_eps, context.composed);
}

at::Tensor NormIfAny(const LayerContext& context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {}) {
  return weight.defined() ? ApplyNorm(context.norm, x, weight, bias, context.norm_eps, context.composed) : x;
}

// x_TE holds heads side by side: each head of the first `heads` is normed by itself.
at::Tensor NormHeads(const LayerContext& context, const at::Tensor& x_TE, const at::Tensor& weight) {
  return ApplyNorm(context.norm, x_TE.reshape({-1, context.attention.head_dim}), weight, {}, context.norm_eps, context.composed)
      .view(x_TE.sizes());
}

at::Tensor Activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kGelu:
      return at::gelu(x);
  }
  TORCH_CHECK(false, "unknown activation");
}

at::Tensor RowsOf(const at::Tensor& bias, int64_t start, int64_t count) {
  return bias.defined() ? bias.narrow(0, start, count) : bias;
}

at::Tensor AttendLastRows(const LayerContext& context, const LayerWeights& w, const at::Tensor& normed_TH) {
  const AttentionSpec& spec = context.attention;
  const int64_t q_width = spec.query_heads * spec.head_dim, k_width = spec.kv_heads * spec.head_dim;
  at::Tensor q =
      Project(normed_TH.index_select(0, context.last_rows), w.qkv_proj.narrow(0, 0, q_width), RowsOf(w.qkv_bias, 0, q_width));
  at::Tensor kv = Project(normed_TH, w.qkv_proj.narrow(0, q_width, 2 * k_width), RowsOf(w.qkv_bias, q_width, 2 * k_width));
  if (w.q_norm.defined()) {
    q = NormHeads(context, q, w.q_norm);
    kv = at::cat({NormHeads(context, kv.narrow(1, 0, k_width), w.k_norm), kv.narrow(1, k_width, k_width)}, 1);
  }
  return context.composed ? composed::LastQueryAttention(q, kv, context.segments, context.rotary, spec)
                          : LastQueryAttention(q, kv, context.segments, context.rotary, spec);
}

at::Tensor Attend(const LayerContext& context, const LayerWeights& w, const at::Tensor& normed_TH) {
  if (context.last_rows.defined()) return AttendLastRows(context, w, normed_TH);
  const AttentionSpec& spec = context.attention;
  at::Tensor qkv = Project(normed_TH, w.qkv_proj, w.qkv_bias);
  if (w.q_norm.defined()) {
    const int64_t q_width = spec.query_heads * spec.head_dim, k_width = spec.kv_heads * spec.head_dim;
    qkv = at::cat({NormHeads(context, qkv.narrow(1, 0, q_width), w.q_norm),
                   NormHeads(context, qkv.narrow(1, q_width, k_width), w.k_norm), qkv.narrow(1, q_width + k_width, k_width)},
                  1);
  }
  return context.composed ? composed::SelfAttention(qkv, context.segments, context.rotary, spec)
                          : SelfAttention(qkv, context.segments, context.rotary, spec);
}

at::Tensor HiddenOfMlp(const LayerContext& context, const at::Tensor& projected) {
  if (!context.gated_mlp) return Activate(context.activation, projected);
  if (context.activation == Activation::kSilu) return context.composed ? composed::SwiGlu(projected) : SwiGlu(projected);
  const auto gate_up = projected.chunk(2, -1);
  return Activate(context.activation, gate_up[0]) * gate_up[1];
}

}  // namespace

at::Tensor ApplyNorm(Norm norm, const at::Tensor& x_TH, const at::Tensor& weight, const at::Tensor& bias, double eps,
                     bool composed) {
  const auto rms_norm = composed ? &composed::RmsNorm : &RmsNorm;
  switch (norm) {
    case Norm::kRms:
      return rms_norm(x_TH, weight, eps);
    case Norm::kRmsOnePlus:
      // Not rounded to a bf16 weight's type: there, 1 + w has but 8 bits.
      return rms_norm(x_TH, (composed || weight.scalar_type() != at::kBFloat16 ? weight : weight.to(at::kFloat)) + 1, eps);
    case Norm::kLayer:
      return at::layer_norm(x_TH, {x_TH.size(-1)}, weight, bias, eps);
  }
  TORCH_CHECK(false, "unknown norm");
}

at::Tensor Layer(const LayerContext& context, const LayerWeights& w, const at::Tensor& x_TH) {
  const at::Tensor attended = Attend(context, w, NormIfAny(context, x_TH, w.attention_norm));
  const at::Tensor residual = context.last_rows.defined() ? x_TH.index_select(0, context.last_rows) : x_TH;
  at::Tensor h = ProjectAndAdd(context, residual, attended, w.o_proj, w.o_bias, w.attention_out_norm);
  h = NormIfAny(context, h, w.attention_sum_norm, w.attention_sum_norm_bias);
  const at::Tensor up = Project(NormIfAny(context, h, w.mlp_norm), w.up_proj, w.up_bias);
  h = ProjectAndAdd(context, h, HiddenOfMlp(context, up), w.down_proj, w.down_bias, w.mlp_out_norm);
  return NormIfAny(context, h, w.mlp_sum_norm, w.mlp_sum_norm_bias);
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A layer's defined tensors, and which they are: autograd takes no undefined ones.
struct CheckpointContext : torch::CustomClassHolder {
  c10::intrusive_ptr<LayerContext> layer;
  std::vector<at::Tensor LayerWeights::*> members;

  LayerWeights Weights(at::TensorList tensors) const {
    LayerWeights weights;
    for (size_t i = 0; i < members.size(); ++i) weights.*members[i] = tensors[i];
    return weights;
  }
};

struct RecomputedLayer : torch::autograd::Function<RecomputedLayer> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList tensors,
                            const c10::intrusive_ptr<CheckpointContext>& context) {
    variable_list saved = tensors.vec();
    saved.push_back(x);
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["context"] = c10::IValue::make_capsule(context);
    return Layer(*context->layer, context->Weights(tensors), x);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto capsule = ctx->saved_data["context"].toCapsule();
    const auto& context = static_cast<const CheckpointContext&>(*capsule);
    variable_list tensors, needed;
    for (const at::Tensor& saved : ctx->get_saved_variables()) {
      tensors.push_back(saved.detach().requires_grad_(saved.requires_grad()));
      if (saved.requires_grad()) needed.push_back(tensors.back());
    }
    const at::Tensor x = tensors.back();
    const at::AutoGradMode with_graph(true);
    const at::Tensor out = Layer(*context.layer, context.Weights(tensors), x);
    // Without a row, some operations leave no graph; their tensors have no gradient then.
    variable_list gradients(needed.size());
    if (out.requires_grad()) {
      gradients = torch::autograd::grad({out}, needed, {grads[0]}, /*retain_graph=*/std::nullopt, /*create_graph=*/false,
                                        /*allow_unused=*/true);
    }
    // In the order of forward's arguments: x, the tensors, the context.
    variable_list result(tensors.size() + 1);
    size_t next = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].requires_grad()) result[(i + 1) % tensors.size()] = gradients[next++];
    }
    return result;
  }
};

}  // namespace

at::Tensor CheckpointedLayer(const c10::intrusive_ptr<LayerContext>& context, const LayerWeights& weights,
                             const at::Tensor& x_TH) {
  auto checkpoint = c10::make_intrusive<CheckpointContext>();
  checkpoint->layer = context;
  std::vector<at::Tensor> tensors;
  for (const auto& [name, member] : kLayerTensors) {
    if (!(weights.*member).defined()) continue;
    checkpoint->members.push_back(member);
    tensors.push_back(weights.*member);
  }
  return RecomputedLayer::apply(x_TH, at::TensorList(tensors), checkpoint);
}

}  // namespace pixelrec::model
