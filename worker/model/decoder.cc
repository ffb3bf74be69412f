#include "worker/model/decoder.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace pixelrec::model {
namespace {

at::Tensor Project(const at::Tensor& x_TI, const at::Tensor& weight_OI) { return at::mm(x_TI, weight_OI.t()); }
at::Tensor AddProjection(const at::Tensor& residual, const at::Tensor& x, const at::Tensor& weight) {
  return at::addmm(residual, x, weight.t());
}

// Everything a layer reads but its input and weights.
struct LayerContext : torch::CustomClassHolder {
  DecoderDescription description;
  Segments segments;
  RotaryTable rotary;
  at::Tensor last_rows;  // [segments] row of each segment's last token; defined if only those rows go on
};

at::Tensor Attend(const LayerContext& context, const LayerWeights& w, const at::Tensor& normed_TH) {
  const AttentionHeads& heads = context.description.heads;
  if (!context.last_rows.defined()) return SelfAttention(Project(normed_TH, w.qkv_proj), context.segments, context.rotary, heads);
  const int64_t q_width = heads.query_heads * heads.head_dim, kv_width = 2 * heads.kv_heads * heads.head_dim;
  const at::Tensor q = Project(normed_TH.index_select(0, context.last_rows), w.qkv_proj.narrow(0, 0, q_width));
  const at::Tensor kv = Project(normed_TH, w.qkv_proj.narrow(0, q_width, kv_width));
  return LastQueryAttention(q, kv, context.segments, context.rotary, heads);
}

// The layer function: pre-norm attention and SwiGLU MLP with residuals (rule M5).
at::Tensor Layer(const LayerContext& context, const LayerWeights& w, const at::Tensor& x_TH) {
  const double eps = context.description.rms_norm_eps;
  const at::Tensor attended = Attend(context, w, RmsNorm(x_TH, w.input_norm, eps));
  const at::Tensor residual = context.last_rows.defined() ? x_TH.index_select(0, context.last_rows) : x_TH;
  const at::Tensor h = AddProjection(residual, attended, w.o_proj);
  const at::Tensor gate_up = Project(RmsNorm(h, w.post_attention_norm, eps), w.gate_up_proj);
  return AddProjection(h, SwiGlu(gate_up), w.down_proj);
}

// Activation checkpointing: the forward pass keeps the layer's input alone; the backward pass computes the layer again with a
// graph.
struct CheckpointedLayer : torch::autograd::Function<CheckpointedLayer> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& input_norm,
                            const at::Tensor& qkv, const at::Tensor& o, const at::Tensor& post_norm, const at::Tensor& gate_up,
                            const at::Tensor& down, const c10::intrusive_ptr<LayerContext>& context) {
    ctx->save_for_backward({x, input_norm, qkv, o, post_norm, gate_up, down});
    ctx->saved_data["context"] = c10::IValue::make_capsule(context);
    return Layer(*context, {input_norm, qkv, o, post_norm, gate_up, down}, x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list grads) {
    const auto capsule = ctx->saved_data["context"].toCapsule();
    std::vector<at::Tensor> inputs;
    for (const at::Tensor& saved : ctx->get_saved_variables())
      inputs.push_back(saved.detach().requires_grad_(saved.requires_grad()));
    torch::autograd::variable_list needed, result(inputs.size() + 1);
    for (const at::Tensor& input : inputs) {
      if (input.requires_grad()) needed.push_back(input);
    }
    const at::AutoGradMode with_graph(true);
    const at::Tensor out = Layer(static_cast<const LayerContext&>(*capsule),
                                 {inputs[1], inputs[2], inputs[3], inputs[4], inputs[5], inputs[6]}, inputs[0]);
    const auto gradients = torch::autograd::grad({out}, needed, {grads[0]});
    size_t next = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].requires_grad()) result[i] = gradients[next++];
    }
    return result;
  }
};

at::Tensor LastRows(const Segments& segments, const at::Device& device) {
  std::vector<int64_t> rows;
  rows.reserve(static_cast<size_t>(segments.count()));
  for (int64_t s = 0; s < segments.count(); ++s) rows.push_back(segments.begin(s) + segments.length(s) - 1);
  return at::tensor(rows, at::kLong).to(device);
}

}  // namespace

RotaryTable MakeRotaryTable(const DecoderDescription& description, int64_t max_length, const at::Device& device) {
  return MakeRotaryTable(max_length, description.heads.head_dim, description.rope_theta, device);
}

at::Tensor DecoderForward(const DecoderDescription& description, const DecoderWeights& weights, const at::Tensor& x_TH,
                          const Segments& segments, const RotaryTable& rotary, Rows rows, bool checkpointing) {
  auto context = c10::make_intrusive<LayerContext>();
  context->description = description;
  context->segments = segments;
  context->rotary = rotary;
  at::Tensor x = x_TH;
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    if (rows == Rows::kLastOfSegment && i + 1 == weights.layers.size()) {
      context = c10::make_intrusive<LayerContext>(*context);
      context->last_rows = LastRows(segments, x.device());
    }
    const LayerWeights& w = weights.layers[i];
    x = checkpointing ? CheckpointedLayer::apply(x, w.input_norm, w.qkv_proj, w.o_proj, w.post_attention_norm, w.gate_up_proj,
                                                 w.down_proj, context)
                      : Layer(*context, w, x);
  }
  return RmsNorm(x, weights.norm, description.rms_norm_eps);
}

}  // namespace pixelrec::model
