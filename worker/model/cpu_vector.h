// As many floats at a time as a register of the target holds, in GCC's own vector type: 16 (zmm), 8 (ymm) or 4 (xmm) lanes. A
// vector wider than the registers would go through memory in pieces, several times slower, so loops are templates over the number
// of lanes, and PIXELREC_MULTIVERSION compiles each for every instruction set. Everything is always_inline so that it is compiled
// with the instruction set of the function it lands in.
#pragma once

#include <cstdint>
#include <cstring>

#define PIXELREC_INLINE inline __attribute__((always_inline))

// For loops that the compiler vectorises by itself.
#define PIXELREC_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

// Defines `void name parameters` as name##Loop<lanes> arguments, once for each instruction set; chosen when the program is
// loaded.
#define PIXELREC_MULTIVERSION(name, parameters, arguments)                                     \
  namespace versions {                                                                         \
  __attribute__((target("arch=x86-64-v4"))) void name parameters { name##Loop<16> arguments; } \
  __attribute__((target("arch=x86-64-v3"))) void name parameters { name##Loop<8> arguments; }  \
  __attribute__((target("default"))) void name parameters { name##Loop<4> arguments; }         \
  }                                                                                            \
  void name parameters { versions::name arguments; }

namespace pixelrec::model::cpu {

template <int64_t kLanes>
struct Simd {
  typedef float Vec __attribute__((vector_size(4 * kLanes)));
  typedef int32_t IntVec __attribute__((vector_size(4 * kLanes)));
};
template <int64_t kLanes>
using Vec = typename Simd<kLanes>::Vec;
template <int64_t kLanes>
using IntVec = typename Simd<kLanes>::IntVec;

// Vectors are passed by reference: by value, their calling convention would depend on the instruction set.
template <typename V>
PIXELREC_INLINE void Load(V& v, const float* p) {
  std::memcpy(&v, p, sizeof(V));
}
template <typename V>
PIXELREC_INLINE void Store(float* p, const V& v) {
  std::memcpy(p, &v, sizeof(V));
}
template <typename V>
PIXELREC_INLINE float Sum(const V& v) {
  constexpr int64_t kLanes = sizeof(V) / sizeof(float);
  float lanes[kLanes];
  Store(lanes, v);
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
template <typename V>
PIXELREC_INLINE void Max(V& a, const V& b) {
  a = a > b ? a : b;
}

// x <- exp(x), relative error below 2e-7 for x in [-87, 88]; smaller arguments give 0, larger ones exp(88).
// Range reduction x = n ln2 + r with a two-part ln2 and a degree-6 polynomial on |r| <= ln2/2 (Cody and Waite; coefficients of
// Cephes expf).
template <int64_t kLanes>
PIXELREC_INLINE void Exp(Vec<kLanes>& x) {
  using V = Vec<kLanes>;
  using I = IntVec<kLanes>;
  const V zero = {};
  const V low = zero - 87.0F;
  const V high = zero + 88.0F;
  const I tiny = x < low;
  x = x > high ? high : x;
  x = tiny ? low : x;
  // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
  const float magic = 12582912.0F;
  const V n = (x * 1.44269504088896341F + magic) - magic;
  const V r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  V p = zero + 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const I exponent = (__builtin_convertvector(n, I) + 127) << 23;
  const V power = (V)exponent;  // between vectors a cast keeps the bits
  x = tiny ? zero : p * power;
}

}  // namespace pixelrec::model::cpu
