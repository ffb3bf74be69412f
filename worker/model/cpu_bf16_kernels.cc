#include "worker/model/cpu_bf16_kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "worker/model/cpu_vector.h"

namespace pixelrec::model::cpu {

PIXELREC_CLONES
void Widen(const Bf16* in, int64_t count, float* out) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) out[i] = std::bit_cast<float>(static_cast<uint32_t>(in[i]) << 16);
}

PIXELREC_CLONES
void Narrow(const float* in, int64_t count, Bf16* out) {
  constexpr uint32_t kSign = 0x80000000, kInfinity = 0x7F800000, kQuietNan = 0x7FC0;
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(in[i]);
    const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    out[i] = static_cast<Bf16>((bits & ~kSign) > kInfinity ? kQuietNan : rounded);
  }
}

namespace {

constexpr int64_t kScratchFloats = 4096;  // of a row or chunk: 16 KB, half of an L1 cache

// Scratch arrays of this thread, one for each argument of a call.
template <size_t kCount>
std::array<float*, kCount> BorrowScratch(const std::array<int64_t, kCount>& sizes) {
  thread_local std::array<std::vector<float>, 8> scratch;
  static_assert(kCount <= 8);
  std::array<float*, kCount> borrowed;
  for (size_t i = 0; i < kCount; ++i) {
    if (scratch[i].size() < static_cast<size_t>(sizes[i])) scratch[i].resize(static_cast<size_t>(sizes[i]));
    borrowed[i] = scratch[i].data();
  }
  return borrowed;
}

int64_t RowsAtOnce(int64_t hidden) { return std::max<int64_t>(1, kScratchFloats / hidden); }

// [rows, width] out of rows that lie `stride` apart, and back.
void WidenRows(const Bf16* in, int64_t rows, int64_t width, int64_t stride, float* out) {
  for (int64_t r = 0; r < rows; ++r) Widen(in + r * stride, width, out + r * width);
}
void NarrowRows(const float* in, int64_t rows, int64_t width, Bf16* out, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) Narrow(in + r * width, width, out + r * stride);
}

}  // namespace

void RmsNormForward(const Bf16* x, const float* weight, float eps, int64_t rows, int64_t hidden, Bf16* y, float* rstd) {
  const int64_t step = RowsAtOnce(hidden);
  const auto [wide_x, wide_y] = BorrowScratch<2>({step * hidden, step * hidden});
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first), at = first * hidden;
    Widen(x + at, count * hidden, wide_x);
    RmsNormForward(wide_x, weight, eps, count, hidden, wide_y, rstd + first);
    Narrow(wide_y, count * hidden, y + at);
  }
}

void RmsNormBackward(const Bf16* dy, const Bf16* x, const float* weight, const float* rstd, int64_t rows, int64_t hidden,
                     Bf16* dx, float* dweight) {
  const int64_t step = RowsAtOnce(hidden), size = step * hidden;
  const auto [wide_dy, wide_x, wide_dx] = BorrowScratch<3>({size, size, size});
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first), at = first * hidden;
    Widen(dy + at, count * hidden, wide_dy);
    Widen(x + at, count * hidden, wide_x);
    RmsNormBackward(wide_dy, wide_x, weight, rstd + first, count, hidden, wide_dx, dweight);
    Narrow(wide_dx, count * hidden, dx + at);
  }
}

// A chunk of columns of one row at a time: gate and up lie behind each other in scratch, as the fp32 loops expect them.
void SwiGluForward(const Bf16* gate_up, int64_t rows, int64_t intermediate, Bf16* y) {
  const int64_t chunk = std::min(intermediate, kScratchFloats / 2);
  const auto [wide, wide_y] = BorrowScratch<2>({2 * chunk, chunk});
  for (int64_t t = 0; t < rows; ++t, gate_up += 2 * intermediate, y += intermediate) {
    for (int64_t i = 0; i < intermediate; i += chunk) {
      const int64_t n = std::min(chunk, intermediate - i);
      Widen(gate_up + i, n, wide);
      Widen(gate_up + intermediate + i, n, wide + n);
      SwiGluForward(wide, 1, n, wide_y);
      Narrow(wide_y, n, y + i);
    }
  }
}

void SwiGluBackward(const Bf16* dy, const Bf16* gate_up, int64_t rows, int64_t intermediate, Bf16* dgate_up) {
  const int64_t chunk = std::min(intermediate, kScratchFloats / 2);
  const auto [wide, wide_dy, wide_d] = BorrowScratch<3>({2 * chunk, chunk, 2 * chunk});
  for (int64_t t = 0; t < rows; ++t, dy += intermediate, gate_up += 2 * intermediate, dgate_up += 2 * intermediate) {
    for (int64_t i = 0; i < intermediate; i += chunk) {
      const int64_t n = std::min(chunk, intermediate - i);
      Widen(gate_up + i, n, wide);
      Widen(gate_up + intermediate + i, n, wide + n);
      Widen(dy + i, n, wide_dy);
      SwiGluBackward(wide_dy, wide, 1, n, wide_d);
      Narrow(wide_d, n, dgate_up + i);
      Narrow(wide_d + n, n, dgate_up + intermediate + i);
    }
  }
}

namespace {

// One kv head and the query heads that read it, as a call of its own on packed rows.
struct HeadGroup {
  explicit HeadGroup(const AttentionShape& whole)
      : shape(whole), group(whole.query_heads / whole.kv_heads), queries(whole.length - whole.first_query) {
    shape.query_heads = group;
    shape.kv_heads = 1;
    shape.q_stride = shape.out_stride = q_width();
    shape.kv_stride = shape.head_dim;
  }
  int64_t q_width() const { return group * shape.head_dim; }
  int64_t q_size() const { return queries * q_width(); }
  int64_t kv_size() const { return shape.length * shape.head_dim; }

  AttentionShape shape;
  int64_t group;
  int64_t queries;
};

}  // namespace

void AttentionForward(const AttentionShape& whole, const Bf16* q, const Bf16* k, const Bf16* v, Bf16* out, float* lse,
                      int64_t lse_stride) {
  const HeadGroup part(whole);
  const int64_t dim = whole.head_dim, width = part.q_width();
  const auto [wide_q, wide_k, wide_v, wide_out] =
      BorrowScratch<4>({part.q_size(), part.kv_size(), part.kv_size(), part.q_size()});
  for (int64_t head = 0; head < whole.kv_heads; ++head) {
    WidenRows(q + head * width, part.queries, width, whole.q_stride, wide_q);
    WidenRows(k + head * dim, whole.length, dim, whole.kv_stride, wide_k);
    WidenRows(v + head * dim, whole.length, dim, whole.kv_stride, wide_v);
    AttentionForward(part.shape, wide_q, wide_k, wide_v, wide_out, lse + head * part.group * lse_stride, lse_stride);
    NarrowRows(wide_out, part.queries, width, out + head * width, whole.out_stride);
  }
}

void AttentionBackward(const AttentionShape& whole, const Bf16* q, const Bf16* k, const Bf16* v, const Bf16* out,
                       const Bf16* dout, const float* lse, int64_t lse_stride, Bf16* dq, Bf16* dk, Bf16* dv) {
  const HeadGroup part(whole);
  const int64_t dim = whole.head_dim, width = part.q_width(), q_size = part.q_size(), kv_size = part.kv_size();
  const auto [wide_q, wide_k, wide_v, wide_out, wide_dout, wide_dq, wide_dk, wide_dv] =
      BorrowScratch<8>({q_size, kv_size, kv_size, q_size, q_size, q_size, kv_size, kv_size});
  for (int64_t head = 0; head < whole.kv_heads; ++head) {
    WidenRows(q + head * width, part.queries, width, whole.q_stride, wide_q);
    WidenRows(k + head * dim, whole.length, dim, whole.kv_stride, wide_k);
    WidenRows(v + head * dim, whole.length, dim, whole.kv_stride, wide_v);
    WidenRows(out + head * width, part.queries, width, whole.out_stride, wide_out);
    WidenRows(dout + head * width, part.queries, width, whole.out_stride, wide_dout);
    AttentionBackward(part.shape, wide_q, wide_k, wide_v, wide_out, wide_dout, lse + head * part.group * lse_stride, lse_stride,
                      wide_dq, wide_dk, wide_dv);
    NarrowRows(wide_dq, part.queries, width, dq + head * width, whole.q_stride);
    NarrowRows(wide_dk, whole.length, dim, dk + head * dim, whole.kv_stride);
    NarrowRows(wide_dv, whole.length, dim, dv + head * dim, whole.kv_stride);
  }
}

}  // namespace pixelrec::model::cpu
