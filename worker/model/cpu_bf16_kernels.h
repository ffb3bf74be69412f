// The fused loops of cpu_kernels.h on bf16 activations: rows are widened to fp32 in scratch that stays in cache, computed by the
// same fp32 loops, and each result is rounded once. So statistics, softmax and sums are fp32 (rule W4), and only what goes
// through memory is bf16. Weights of norms and their gradients are fp32.
//
// Pointers, shapes and threads as in cpu_kernels.h; strides in elements. Scratch: a few rows, or one head group of one sequence.
#pragma once

#include <cstdint>

#include "worker/model/cpu_kernels.h"

namespace pixelrec::model::cpu {

enum class Bf16 : uint16_t {};  // the upper half of an fp32

void Widen(const Bf16* in, int64_t count, float* out);
// To the nearest, ties to even; a NaN stays one, so that a step that isn't finite is still seen (rule W5).
void Narrow(const float* in, int64_t count, Bf16* out);

void RmsNormForward(const Bf16* x, const float* weight, float eps, int64_t rows, int64_t hidden, Bf16* y, float* rstd);
void RmsNormBackward(const Bf16* dy, const Bf16* x, const float* weight, const float* rstd, int64_t rows, int64_t hidden,
                     Bf16* dx, float* dweight);

void SwiGluForward(const Bf16* gate_up, int64_t rows, int64_t intermediate, Bf16* y);
void SwiGluBackward(const Bf16* dy, const Bf16* gate_up, int64_t rows, int64_t intermediate, Bf16* dgate_up);

void AttentionForward(const AttentionShape& shape, const Bf16* q, const Bf16* k, const Bf16* v, Bf16* out, float* lse,
                      int64_t lse_stride);
void AttentionBackward(const AttentionShape& shape, const Bf16* q, const Bf16* k, const Bf16* v, const Bf16* out,
                       const Bf16* dout, const float* lse, int64_t lse_stride, Bf16* dq, Bf16* dk, Bf16* dv);

}  // namespace pixelrec::model::cpu
