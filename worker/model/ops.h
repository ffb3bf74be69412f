// The differentiable operations a decoder layer is made of, besides matrix products. On the CPU in fp32 and bf16 they are the
// fused loops of cpu_kernels.h and cpu_bf16_kernels.h; for any other device or dtype the same mathematics is composed of ATen
// operators (and is the oracle of the tests), but for attention on a GPU, which takes all segments at once (batched_attention.h).
//
// Threads: any; each call uses LibTorch's intra-op threads. Errors: throws c10::Error on wrong shapes, like ATen.
// Shape letters: T tokens, N queries, H hidden, D head_dim, Q query heads, K kv heads, I intermediate.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/model/rope.h"
#include "worker/model/segments.h"

namespace pixelrec::model {

// x_TH * rsqrt(mean(x^2) + eps) * weight_H, statistics in fp32 (rule M5).
at::Tensor RmsNorm(const at::Tensor& x_TH, const at::Tensor& weight_H, double eps);

// silu(gate) * up for gate_up_T2I = [gate, up] (rule M5).
at::Tensor SwiGlu(const at::Tensor& gate_up_T2I);

struct AttentionSpec {
  int64_t query_heads;
  int64_t kv_heads;    // divides query_heads (grouped-query attention)
  int64_t head_dim;    // even
  double scale;        // of q k^T, usually 1 / sqrt(D)
  double softcap = 0;  // c: scores become c tanh(scores / c); 0: none
  int64_t window = 0;  // a query sees itself and the window - 1 tokens before it; 0: no limit. Causal attention only
  bool causal = true;  // false: every token sees its whole segment
};

// Attention inside each segment, none across (rule M2); rotary positions are applied to queries and keys inside.
// qkv_TE = [queries, keys, values] of one fused projection, E = (Q + 2K) D. -> [T, Q D].
at::Tensor SelfAttention(const at::Tensor& qkv_TE, const Segments& segments, const RotaryTable& rotary,
                         const AttentionSpec& spec);

// The same for the last position of each segment alone. q_SQD: one row per segment; kv_T2KD = [keys, values]. No empty segments.
// -> [segments, Q D].
at::Tensor LastQueryAttention(const at::Tensor& q_SQD, const at::Tensor& kv_T2KD, const Segments& segments,
                              const RotaryTable& rotary, const AttentionSpec& spec);

// weight_VH at the rows `ids_T`. The gradient adds up in fp32: of a bf16 weight it may be fp32.
at::Tensor Embedding(const at::Tensor& weight_VH, const at::Tensor& ids_T);

// The same mathematics composed of ATen operators, on any device and in any floating dtype. In bf16 each of these rounds what it
// gives, which is what the reference computes (rule P1): `numerics: compat` asks for these.
namespace composed {
at::Tensor RmsNorm(const at::Tensor& x_TH, const at::Tensor& weight_H, double eps);
at::Tensor SwiGlu(const at::Tensor& gate_up_T2I);
at::Tensor SelfAttention(const at::Tensor& qkv_TE, const Segments& segments, const RotaryTable& rotary,
                         const AttentionSpec& spec);
at::Tensor LastQueryAttention(const at::Tensor& q_SQD, const at::Tensor& kv_T2KD, const Segments& segments,
                              const RotaryTable& rotary, const AttentionSpec& spec);
}  // namespace composed

}  // namespace pixelrec::model
