// Sixteen floats at a time, in GCC's own vector type: the compiler lowers it to whatever the target has (one zmm, two ymm, four
// xmm). Everything is always_inline so that it is compiled with the instruction set of the function it lands in.
#pragma once

#include <cstdint>
#include <cstring>

#define PIXELREC_INLINE inline __attribute__((always_inline))
#define PIXELREC_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

namespace pixelrec::model::cpu {

inline constexpr int64_t kLanes = 16;
using Vec = float __attribute__((vector_size(64), aligned(4), may_alias));
using IntVec = int32_t __attribute__((vector_size(64), aligned(4), may_alias));

PIXELREC_INLINE void Load(Vec& v, const float* p) { std::memcpy(&v, p, sizeof(Vec)); }
PIXELREC_INLINE void Store(float* p, const Vec& v) { std::memcpy(p, &v, sizeof(Vec)); }
PIXELREC_INLINE float Sum(const Vec& v) {
  float lanes[kLanes];
  Store(lanes, v);
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
PIXELREC_INLINE void Max(Vec& a, const Vec& b) { a = a > b ? a : b; }

// x <- exp(x), relative error below 2e-7 for x in [-87, 88]; smaller arguments give 0, larger ones exp(88).
// Range reduction x = n ln2 + r with a two-part ln2 and a degree-6 polynomial on |r| <= ln2/2 (Cody and Waite; coefficients of
// Cephes expf).
PIXELREC_INLINE void Exp(Vec& x) {
  const Vec zero = {};
  const Vec low = zero - 87.0F;
  const Vec high = zero + 88.0F;
  const IntVec tiny = x < low;
  x = x > high ? high : x;
  x = tiny ? low : x;
  // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
  const float magic = 12582912.0F;
  const Vec n = (x * 1.44269504088896341F + magic) - magic;
  const Vec r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  Vec p = zero + 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const IntVec exponent = (__builtin_convertvector(n, IntVec) + 127) << 23;
  Vec power;
  std::memcpy(&power, &exponent, sizeof(power));
  x = tiny ? zero : p * power;
}

}  // namespace pixelrec::model::cpu
