// The memory-bound pieces of a decoder layer as fused fp32 loops for the CPU: one pass over the activations forward, one
// backward. Everything else of a layer is matrix multiplication, which is left to LibTorch.
//
// Raw pointers to contiguous row-major arrays; `*_stride` is the distance between rows in floats. No allocation beyond small
// per-call scratch, no threads: callers split rows or segments among threads. Shapes: T tokens, H hidden, D head_dim.
// Compiled once per instruction set (x86-64-v4, v3, baseline) and chosen at load time.
#pragma once

#include <cstdint>

namespace pixelrec::model::cpu {

// y = x * rstd * weight with rstd = 1/sqrt(mean(x^2) + eps) (rule M5). x, y [rows, H]; rstd [rows] is kept for the backward pass.
void RmsNormForward(const float* x, const float* weight, float eps, int64_t rows, int64_t hidden, float* y, float* rstd);
// dx [rows, H] is written, dweight [H] is added to.
void RmsNormBackward(const float* dy, const float* x, const float* weight, const float* rstd, int64_t rows, int64_t hidden,
                     float* dx, float* dweight);

// y = silu(gate) * up. gate_up [rows, 2 I]: gate first, then up; y [rows, I].
void SwiGluForward(const float* gate_up, int64_t rows, int64_t intermediate, float* y);
// dgate_up [rows, 2 I] is written.
void SwiGluBackward(const float* dy, const float* gate_up, int64_t rows, int64_t intermediate, float* dgate_up);

// One sequence of attention with rotary positions inside (rules M2, M5).
struct AttentionShape {
  int64_t query_heads;
  int64_t kv_heads;     // query head h reads kv head h / (query_heads / kv_heads)
  int64_t head_dim;     // even
  int64_t length;       // keys in the sequence
  int64_t first_query;  // position of the first query row; queries are first_query .. length - 1
  int64_t q_stride;
  int64_t kv_stride;  // of k, v and their gradients
  int64_t out_stride;
  const float* cos;  // [>= length, D / 2]
  const float* sin;
  float scale;         // of q k^T
  float softcap = 0;   // c: scores become c tanh(scores / c); 0: none
  int64_t window = 0;  // a query sees this many keys up to its own; 0: no limit. Causal only
  bool causal = true;  // false: every query sees every key
};

// q [queries, Hq*D], k and v [length, Hkv*D] (before rotation) -> out [queries, Hq*D], lse [Hq, queries] (log-sum-exp of each
// row, kept for the backward pass; lse_stride apart per head).
void AttentionForward(const AttentionShape& shape, const float* q, const float* k, const float* v, float* out, float* lse,
                      int64_t lse_stride);
// Writes dq, dk, dv (same layout as q, k, v; same strides).
void AttentionBackward(const AttentionShape& shape, const float* q, const float* k, const float* v, const float* out,
                       const float* dout, const float* lse, int64_t lse_stride, float* dq, float* dk, float* dv);

}  // namespace pixelrec::model::cpu
