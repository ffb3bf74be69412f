#include "worker/model/cpu_kernels.h"

#include <cmath>
#include <cstring>

#include "worker/model/cpu_vector.h"

namespace pixelrec::model::cpu {
namespace {

template <int64_t kLanes>
PIXELREC_INLINE float Dot(const float* a, const float* b, int64_t n) {
  Vec<kLanes> sum = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Vec<kLanes> x, y;
    Load(x, a + i);
    Load(y, b + i);
    sum += x * y;
  }
  float total = Sum(sum);
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

}  // namespace

template <int64_t kLanes>
PIXELREC_INLINE void RmsNormForwardLoop(const float* x, const float* weight, float eps, int64_t rows, int64_t hidden, float* y,
                                        float* rstd) {
  for (int64_t t = 0; t < rows; ++t, x += hidden, y += hidden) {
    const float r = 1.0F / std::sqrt(Dot<kLanes>(x, x, hidden) / static_cast<float>(hidden) + eps);
    rstd[t] = r;
    for (int64_t h = 0; h < hidden; ++h) y[h] = weight[h] * (x[h] * r);
  }
}

template <int64_t kLanes>
PIXELREC_INLINE void RmsNormBackwardLoop(const float* dy, const float* x, const float* weight, const float* rstd, int64_t rows,
                                         int64_t hidden, float* dx, float* dweight) {
  for (int64_t t = 0; t < rows; ++t, dy += hidden, x += hidden, dx += hidden) {
    const float r = rstd[t];
    float projection = 0;
#pragma GCC ivdep
    for (int64_t h = 0; h < hidden; ++h) {
      dx[h] = dy[h] * weight[h];
      dweight[h] += dy[h] * x[h] * r;
    }
    projection = Dot<kLanes>(dx, x, hidden) * r * r * r / static_cast<float>(hidden);
#pragma GCC ivdep
    for (int64_t h = 0; h < hidden; ++h) dx[h] = dx[h] * r - projection * x[h];
  }
}

namespace {

// Loads up to as many floats as there are lanes; the missing ones are 0.
template <int64_t kLanes>
PIXELREC_INLINE void LoadPartial(Vec<kLanes>& v, const float* p, int64_t n) {
  if (n >= kLanes) return Load(v, p);
  float lanes[kLanes] = {};
  std::memcpy(lanes, p, static_cast<size_t>(n) * sizeof(float));
  Load(v, lanes);
}
template <int64_t kLanes>
PIXELREC_INLINE void StorePartial(float* p, const Vec<kLanes>& v, int64_t n) {
  if (n >= kLanes) return Store(p, v);
  float lanes[kLanes];
  Store(lanes, v);
  std::memcpy(p, lanes, static_cast<size_t>(n) * sizeof(float));
}
template <int64_t kLanes>
PIXELREC_INLINE void Sigmoid(Vec<kLanes>& x) {
  x = -x;
  Exp<kLanes>(x);
  x = 1.0F / (1.0F + x);
}

}  // namespace

template <int64_t kLanes>
PIXELREC_INLINE void SwiGluForwardLoop(const float* gate_up, int64_t rows, int64_t intermediate, float* y) {
  for (int64_t t = 0; t < rows; ++t, gate_up += 2 * intermediate, y += intermediate) {
    for (int64_t i = 0; i < intermediate; i += kLanes) {
      const int64_t n = intermediate - i;
      Vec<kLanes> gate, up, sigmoid;
      LoadPartial<kLanes>(gate, gate_up + i, n);
      LoadPartial<kLanes>(up, gate_up + intermediate + i, n);
      sigmoid = gate;
      Sigmoid<kLanes>(sigmoid);
      StorePartial<kLanes>(y + i, gate * sigmoid * up, n);
    }
  }
}

template <int64_t kLanes>
PIXELREC_INLINE void SwiGluBackwardLoop(const float* dy, const float* gate_up, int64_t rows, int64_t intermediate,
                                        float* dgate_up) {
  for (int64_t t = 0; t < rows; ++t, dy += intermediate, gate_up += 2 * intermediate, dgate_up += 2 * intermediate) {
    for (int64_t i = 0; i < intermediate; i += kLanes) {
      const int64_t n = intermediate - i;
      Vec<kLanes> gate, up, d, sigmoid;
      LoadPartial<kLanes>(gate, gate_up + i, n);
      LoadPartial<kLanes>(up, gate_up + intermediate + i, n);
      LoadPartial<kLanes>(d, dy + i, n);
      sigmoid = gate;
      Sigmoid<kLanes>(sigmoid);
      const Vec<kLanes> silu = gate * sigmoid;
      StorePartial<kLanes>(dgate_up + i, d * up * (sigmoid + silu * (1.0F - sigmoid)), n);
      StorePartial<kLanes>(dgate_up + intermediate + i, d * silu, n);
    }
  }
}

PIXELREC_MULTIVERSION(RmsNormForward,
                      (const float* x, const float* weight, float eps, int64_t rows, int64_t hidden, float* y, float* rstd),
                      (x, weight, eps, rows, hidden, y, rstd))
PIXELREC_MULTIVERSION(RmsNormBackward,
                      (const float* dy, const float* x, const float* weight, const float* rstd, int64_t rows, int64_t hidden,
                       float* dx, float* dweight),
                      (dy, x, weight, rstd, rows, hidden, dx, dweight))
PIXELREC_MULTIVERSION(SwiGluForward, (const float* gate_up, int64_t rows, int64_t intermediate, float* y),
                      (gate_up, rows, intermediate, y))
PIXELREC_MULTIVERSION(SwiGluBackward,
                      (const float* dy, const float* gate_up, int64_t rows, int64_t intermediate, float* dgate_up),
                      (dy, gate_up, rows, intermediate, dgate_up))

}  // namespace pixelrec::model::cpu
