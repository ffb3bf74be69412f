#include "worker/model/ops.h"

#include <ATen/Parallel.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "worker/model/batched_attention.h"
#include "worker/model/cpu_bf16_kernels.h"
#include "worker/model/cpu_kernels.h"

namespace pixelrec::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 256;
constexpr int64_t kMaxHeadDim = 512;  // of the stack buffers in cpu_kernels.cc

bool OnFusedPath(const at::Tensor& t) {
  return t.is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16);
}

// Elements as the loops of worker/model/cpu_*kernels.h take them.
template <typename T>
const T* Read(const at::Tensor& t) {
  if constexpr (std::is_same_v<T, float>)
    return t.const_data_ptr<float>();
  else
    return reinterpret_cast<const T*>(t.const_data_ptr<at::BFloat16>());
}
template <typename T>
T* Write(const at::Tensor& t) {
  if constexpr (std::is_same_v<T, float>)
    return t.mutable_data_ptr<float>();
  else
    return reinterpret_cast<T*>(t.mutable_data_ptr<at::BFloat16>());
}

at::TensorOptions Fp32(const at::Tensor& like) { return like.options().dtype(at::kFloat).requires_grad(false); }

template <typename T>
struct RmsNormFunction : torch::autograd::Function<RmsNormFunction<T>> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& weight, double eps) {
    const at::Tensor x = x_in.contiguous(), fp32_weight = weight.to(at::kFloat);
    const int64_t rows = x.size(0), hidden = x.size(1);
    const at::Tensor y = at::empty_like(x), rstd = at::empty({rows}, Fp32(x));
    at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
      cpu::RmsNormForward(Read<T>(x) + begin * hidden, Read<float>(fp32_weight), static_cast<float>(eps), end - begin, hidden,
                          Write<T>(y) + begin * hidden, Write<float>(rstd) + begin);
    });
    ctx->save_for_backward({x, weight, rstd});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &rstd = saved[2];
    const at::Tensor weight = saved[1].to(at::kFloat), dy = grads[0].contiguous();
    const int64_t rows = dy.size(0), hidden = dy.size(1);
    const at::Tensor dx = at::empty_like(dy);
    // One partial sum per fixed block of rows, added in order: the result does not depend on which thread took which block.
    const int64_t block = std::max<int64_t>(kRowsPerTask, (rows + 63) / 64), blocks = (rows + block - 1) / block;
    const at::Tensor partial = at::zeros({blocks, hidden}, Fp32(dy));
    at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        const int64_t begin = b * block, count = std::min(block, rows - begin);
        cpu::RmsNormBackward(Read<T>(dy) + begin * hidden, Read<T>(x) + begin * hidden, Read<float>(weight),
                             Read<float>(rstd) + begin, count, hidden, Write<T>(dx) + begin * hidden,
                             Write<float>(partial) + b * hidden);
      }
    });
    return {dx, partial.sum(0).to(saved[1].scalar_type()), at::Tensor()};
  }
};

template <typename T>
struct SwiGluFunction : torch::autograd::Function<SwiGluFunction<T>> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up_in) {
    const at::Tensor gate_up = gate_up_in.contiguous();
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    const at::Tensor y = at::empty({rows, width}, gate_up.options());
    at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
      cpu::SwiGluForward(Read<T>(gate_up) + begin * 2 * width, end - begin, width, Write<T>(y) + begin * width);
    });
    ctx->save_for_backward({gate_up});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor gate_up = ctx->get_saved_variables()[0], dy = grads[0].contiguous(), d = at::empty_like(gate_up);
    const int64_t rows = dy.size(0), width = dy.size(1);
    at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
      cpu::SwiGluBackward(Read<T>(dy) + begin * width, Read<T>(gate_up) + begin * 2 * width, end - begin, width,
                          Write<T>(d) + begin * 2 * width);
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
template <typename T>
struct AttentionFunction : torch::autograd::Function<AttentionFunction<T>> {
  // Start of the keys in the tensor that holds them.
  template <typename Pointer>
  static Pointer Keys(Pointer q, Pointer kv, const AttentionCall& call) {
    return call.every_token_asks ? q + call.q_width() : kv;
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_in, const at::Tensor& kv_in,
                            const c10::intrusive_ptr<AttentionCall>& call) {
    const at::Tensor q = q_in.contiguous(), kv = kv_in.contiguous();
    const at::Tensor out = at::empty({q.size(0), call->q_width()}, q.options());
    const at::Tensor lse = at::empty({call->spec.query_heads, q.size(0)}, Fp32(q));
    const T* queries = Read<T>(q);
    const T* keys = Keys(queries, Read<T>(kv), *call);
    call->ForEachSegment([&](const cpu::AttentionShape& shape, int64_t query, int64_t key) {
      const T* k = keys + key * shape.kv_stride;
      cpu::AttentionForward(shape, queries + query * shape.q_stride, k, k + call->kv_width(),
                            Write<T>(out) + query * shape.out_stride, Write<float>(lse) + query, lse.size(1));
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
    const T* queries = Read<T>(q);
    const T* keys = Keys(queries, Read<T>(kv), call);
    T* dqueries = Write<T>(dq);
    T* dkeys = Keys(dqueries, Write<T>(dkv), call);
    call.ForEachSegment([&](const cpu::AttentionShape& shape, int64_t query, int64_t key) {
      const T* k = keys + key * shape.kv_stride;
      T* dk = dkeys + key * shape.kv_stride;
      cpu::AttentionBackward(shape, queries + query * shape.q_stride, k, k + call.kv_width(),
                             Read<T>(out) + query * shape.out_stride, Read<T>(dout) + query * shape.out_stride,
                             Read<float>(lse) + query, lse.size(1), dqueries + query * shape.q_stride, dk, dk + call.kv_width());
    });
    return {dq, call.every_token_asks ? at::Tensor() : dkv, at::Tensor()};
  }
};

// At the tokens' rows; what its gradient adds up for each row is rounded once, behind the sum: one row may stand for thousands of
// tokens.
struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& weight, const at::Tensor& ids) {
    ctx->save_for_backward({ids});
    ctx->saved_data["rows"] = weight.size(0);
    return at::embedding(weight, ids);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor ids = ctx->get_saved_variables()[0];
    return {at::embedding_dense_backward(grads[0].to(at::kFloat), ids, ctx->saved_data["rows"].toInt(), /*padding_idx=*/-1,
                                         /*scale_grad_by_freq=*/false),
            at::Tensor()};
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
  if (x_TH.scalar_type() == at::kBFloat16) return RmsNormFunction<cpu::Bf16>::apply(x_TH, weight_H, eps);
  return RmsNormFunction<float>::apply(x_TH, weight_H, eps);
}

at::Tensor SwiGlu(const at::Tensor& gate_up_T2I) {
  if (!OnFusedPath(gate_up_T2I)) return composed::SwiGlu(gate_up_T2I);
  if (gate_up_T2I.scalar_type() == at::kBFloat16) return SwiGluFunction<cpu::Bf16>::apply(gate_up_T2I);
  return SwiGluFunction<float>::apply(gate_up_T2I);
}

namespace {

at::Tensor Attention(const at::Tensor& q, const at::Tensor& kv, const c10::intrusive_ptr<AttentionCall>& call) {
  if (q.scalar_type() == at::kBFloat16) return AttentionFunction<cpu::Bf16>::apply(q, kv, call);
  return AttentionFunction<float>::apply(q, kv, call);
}

}  // namespace

at::Tensor SelfAttention(const at::Tensor& qkv_TE, const Segments& segments, const RotaryTable& rotary,
                         const AttentionSpec& spec) {
  if (!qkv_TE.is_cpu()) return batched::SelfAttention(qkv_TE, segments, rotary, spec);
  if (!OnFusedPath(qkv_TE) || spec.head_dim > kMaxHeadDim) return composed::SelfAttention(qkv_TE, segments, rotary, spec);
  return Attention(qkv_TE, at::empty({0}, qkv_TE.options()), MakeCall(segments, rotary, spec, true));
}

at::Tensor LastQueryAttention(const at::Tensor& q_SQD, const at::Tensor& kv_T2KD, const Segments& segments,
                              const RotaryTable& rotary, const AttentionSpec& spec) {
  if (!q_SQD.is_cpu()) return batched::LastQueryAttention(q_SQD, kv_T2KD, segments, rotary, spec);
  if (!OnFusedPath(q_SQD) || spec.head_dim > kMaxHeadDim)
    return composed::LastQueryAttention(q_SQD, kv_T2KD, segments, rotary, spec);
  return Attention(q_SQD, kv_T2KD, MakeCall(segments, rotary, spec, false));
}

at::Tensor Embedding(const at::Tensor& weight_VH, const at::Tensor& ids_T) {
  return weight_VH.scalar_type() == at::kBFloat16 ? EmbeddingFunction::apply(weight_VH, ids_T) : at::embedding(weight_VH, ids_T);
}

}  // namespace pixelrec::model
