// Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11): a counter in, 128 random bits out.
//
// Threads: pure function.
#pragma once

#include <array>
#include <cstdint>

namespace pixelrec::data {

using PhiloxCounter = std::array<uint32_t, 4>;

inline PhiloxCounter Philox(PhiloxCounter counter, uint64_t key) {
  auto k0 = static_cast<uint32_t>(key);
  auto k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(a)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

inline PhiloxCounter Philox(uint64_t low, uint64_t high, uint64_t key) {
  return Philox({static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32), static_cast<uint32_t>(high),
                 static_cast<uint32_t>(high >> 32)},
                key);
}

inline uint64_t Low64(const PhiloxCounter& bits) { return bits[0] | (uint64_t{bits[1]} << 32); }
inline uint64_t High64(const PhiloxCounter& bits) { return bits[2] | (uint64_t{bits[3]} << 32); }

}  // namespace pixelrec::data
