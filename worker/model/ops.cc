#include "worker/model/ops.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "worker/model/cpu_kernels.h"

namespace pixelrec::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 256;
constexpr int64_t kMaxHeadDim = 512;  // of the stack buffers in cpu_kernels.cc

bool OnFusedPath(const at::Tensor& t) { return t.is_cpu() && t.scalar_type() == at::kFloat; }

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& weight, double eps) {
    const at::Tensor x = x_in.contiguous();
    const int64_t rows = x.size(0), hidden = x.size(1);
    const at::Tensor y = at::empty_like(x), rstd = at::empty({rows}, x.options());
    at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
      cpu::RmsNormForward(x.const_data_ptr<float>() + begin * hidden, weight.const_data_ptr<float>(), static_cast<float>(eps),
                          end - begin, hidden, y.mutable_data_ptr<float>() + begin * hidden,
                          rstd.mutable_data_ptr<float>() + begin);
    });
    ctx->save_for_backward({x, weight, rstd});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dy = grads[0].contiguous();
    const int64_t rows = dy.size(0), hidden = dy.size(1);
    const at::Tensor dx = at::empty_like(dy);
    // One partial sum per fixed block of rows, added in order: the result does not depend on which thread took which block.
    const int64_t block = std::max<int64_t>(kRowsPerTask, (rows + 63) / 64), blocks = (rows + block - 1) / block;
    const at::Tensor partial = at::zeros({blocks, hidden}, dy.options());
    at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        const int64_t begin = b * block, count = std::min(block, rows - begin);
        cpu::RmsNormBackward(dy.const_data_ptr<float>() + begin * hidden, saved[0].const_data_ptr<float>() + begin * hidden,
                             saved[1].const_data_ptr<float>(), saved[2].const_data_ptr<float>() + begin, count, hidden,
                             dx.mutable_data_ptr<float>() + begin * hidden, partial.mutable_data_ptr<float>() + b * hidden);
      }
    });
    return {dx, partial.sum(0), at::Tensor()};
  }
};

struct SwiGluFunction : torch::autograd::Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up_in) {
    const at::Tensor gate_up = gate_up_in.contiguous();
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    const at::Tensor y = at::empty({rows, width}, gate_up.options());
    at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
      cpu::SwiGluForward(gate_up.const_data_ptr<float>() + begin * 2 * width, end - begin, width,
                         y.mutable_data_ptr<float>() + begin * width);
    });
    ctx->save_for_backward({gate_up});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor gate_up = ctx->get_saved_variables()[0], dy = grads[0].contiguous(), d = at::empty_like(gate_up);
    const int64_t rows = dy.size(0), width = dy.size(1);
    at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
      cpu::SwiGluBackward(dy.const_data_ptr<float>() + begin * width, gate_up.const_data_ptr<float>() + begin * 2 * width,
                          end - begin, width, d.mutable_data_ptr<float>() + begin * 2 * width);
    });
    return {d};
  }
};

// Everything of an attention call that isn't a tensor with a gradient.
struct AttentionCall : torch::CustomClassHolder {
  Segments segments;
  RotaryTable rotary;
  AttentionSpec spec;
  bool every_token_asks = true;

  int64_t q_width() const { return spec.query_heads * spec.head_dim; }
  int64_t kv_width() const { return spec.kv_heads * spec.head_dim; }
  // Distance between rows: queries, keys and values lie side by side in one tensor, or the queries in one of their own.
  int64_t q_stride() const { return every_token_asks ? q_width() + 2 * kv_width() : q_width(); }
  int64_t kv_stride() const { return every_token_asks ? q_width() + 2 * kv_width() : 2 * kv_width(); }

  // body(shape, first query row, first key row) for every segment, in parallel.
  template <typename Body>
  void ForEachSegment(const Body& body) const {
    const int64_t grain = std::max<int64_t>(1, segments.count() / (4 * at::get_num_threads()));
    at::parallel_for(0, segments.count(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        body(cpu::AttentionShape{.query_heads = spec.query_heads,
                                 .kv_heads = spec.kv_heads,
                                 .head_dim = spec.head_dim,
                                 .length = segments.length(s),
                                 .first_query = every_token_asks ? 0 : segments.length(s) - 1,
                                 .q_stride = q_stride(),
                                 .kv_stride = kv_stride(),
                                 .out_stride = q_width(),
                                 .cos = rotary.cos.const_data_ptr<float>() + rotary.first_row(s) * spec.head_dim / 2,
                                 .sin = rotary.sin.const_data_ptr<float>() + rotary.first_row(s) * spec.head_dim / 2,
                                 .scale = static_cast<float>(spec.scale),
                                 .softcap = static_cast<float>(spec.softcap),
                                 .window = spec.window,
                                 .causal = spec.causal},
             every_token_asks ? segments.begin(s) : s, segments.begin(s));
      }
    });
  }
};

// Inputs: the fused [q, k, v] and nothing, or [q] and [k, v].
struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  // Start of the keys in the tensor that holds them.
  template <typename Pointer>
  static Pointer Keys(Pointer q, Pointer kv, const AttentionCall& call) {
    return call.every_token_asks ? q + call.q_width() : kv;
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_in, const at::Tensor& kv_in,
                            const c10::intrusive_ptr<AttentionCall>& call) {
    const at::Tensor q = q_in.contiguous(), kv = kv_in.contiguous();
    const at::Tensor out = at::empty({q.size(0), call->q_width()}, q.options());
    const at::Tensor lse = at::empty({call->spec.query_heads, q.size(0)}, q.options());
    const float* queries = q.const_data_ptr<float>();
    const float* keys = Keys(queries, kv.const_data_ptr<float>(), *call);
    call->ForEachSegment([&](const cpu::AttentionShape& shape, int64_t query, int64_t key) {
      const float* k = keys + key * shape.kv_stride;
      cpu::AttentionForward(shape, queries + query * shape.q_stride, k, k + call->kv_width(),
                            out.mutable_data_ptr<float>() + query * shape.out_stride, lse.mutable_data_ptr<float>() + query,
                            lse.size(1));
    });
    ctx->save_for_backward({q, kv, out, lse});
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &kv = saved[1], &out = saved[2], &lse = saved[3];
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const AttentionCall&>(*capsule);
    const at::Tensor dout = grads[0].contiguous(), dq = at::empty_like(q), dkv = at::empty_like(kv);
    const float* queries = q.const_data_ptr<float>();
    const float* keys = Keys(queries, kv.const_data_ptr<float>(), call);
    float* dqueries = dq.mutable_data_ptr<float>();
    float* dkeys = Keys(dqueries, dkv.mutable_data_ptr<float>(), call);
    call.ForEachSegment([&](const cpu::AttentionShape& shape, int64_t query, int64_t key) {
      const float* k = keys + key * shape.kv_stride;
      float* dk = dkeys + key * shape.kv_stride;
      cpu::AttentionBackward(shape, queries + query * shape.q_stride, k, k + call.kv_width(),
                             out.const_data_ptr<float>() + query * shape.out_stride,
                             dout.const_data_ptr<float>() + query * shape.out_stride, lse.const_data_ptr<float>() + query,
                             lse.size(1), dqueries + query * shape.q_stride, dk, dk + call.kv_width());
    });
    return {dq, call.every_token_asks ? at::Tensor() : dkv, at::Tensor()};
  }
};

c10::intrusive_ptr<AttentionCall> MakeCall(const Segments& segments, const RotaryTable& rotary, const AttentionSpec& spec,
                                           bool every) {
  auto call = c10::make_intrusive<AttentionCall>();
  call->segments = segments;
  call->rotary = rotary;
  call->spec = spec;
  call->every_token_asks = every;
  return call;
}

}  // namespace

at::Tensor RmsNorm(const at::Tensor& x_TH, const at::Tensor& weight_H, double eps) {
  if (!OnFusedPath(x_TH)) return composed::RmsNorm(x_TH, weight_H, eps);
  return RmsNormFunction::apply(x_TH, weight_H, eps);
}

at::Tensor SwiGlu(const at::Tensor& gate_up_T2I) {
  if (!OnFusedPath(gate_up_T2I)) return composed::SwiGlu(gate_up_T2I);
  return SwiGluFunction::apply(gate_up_T2I);
}

at::Tensor SelfAttention(const at::Tensor& qkv_TE, const Segments& segments, const RotaryTable& rotary,
                         const AttentionSpec& spec) {
  if (!OnFusedPath(qkv_TE) || spec.head_dim > kMaxHeadDim) return composed::SelfAttention(qkv_TE, segments, rotary, spec);
  return AttentionFunction::apply(qkv_TE, at::empty({0}, qkv_TE.options()), MakeCall(segments, rotary, spec, true));
}

at::Tensor LastQueryAttention(const at::Tensor& q_SQD, const at::Tensor& kv_T2KD, const Segments& segments,
                              const RotaryTable& rotary, const AttentionSpec& spec) {
  if (!OnFusedPath(q_SQD) || spec.head_dim > kMaxHeadDim)
    return composed::LastQueryAttention(q_SQD, kv_T2KD, segments, rotary, spec);
  return AttentionFunction::apply(q_SQD, kv_T2KD, MakeCall(segments, rotary, spec, false));
}

}  // namespace pixelrec::model
