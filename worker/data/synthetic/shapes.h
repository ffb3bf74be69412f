// The distributions of the synthetic data, as functions of random numbers.
//
// Threads: pure functions; an RandomStream for one thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/data/philox.h"

namespace pixelrec::data {

// Numbers of one thing (a user, an item), independent of all others: whatever is made first, the result is the same.
class RandomStream {
 public:
  enum class Kind : uint64_t { kUser = 1, kItem = 2, kCatalogue = 3 };

  RandomStream(uint64_t seed, Kind kind, uint64_t number) : key_(seed), high_((static_cast<uint64_t>(kind) << 48) | number) {}

  uint32_t Next32() {
    if (used_ == 4) {
      bits_ = Philox(block_++, high_, key_);
      used_ = 0;
    }
    return bits_[used_++];
  }
  // 0..bound-1; the bias is below bound / 2^32, nothing for made-up data.
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>((uint64_t{Next32()} * bound) >> 32); }

 private:
  const uint64_t key_;
  const uint64_t high_;
  uint64_t block_ = 0;
  PhiloxCounter bits_{};
  size_t used_ = 4;
};

// Events of a user beyond the first five: a Lomax distribution of shape 2 (density falls with the third power), cut at `cap`.
// `scale` is such that the mean is what was asked for; see LengthScale.
uint32_t DrawExtraEvents(RandomStream& random, double scale, uint32_t cap);
double LengthScale(double mean_extra, uint32_t cap);

// Rank of an item, 0 the most popular, of `items`: probability falls with the square root of the rank, cut so that the first is
// drawn 11.5 times as often as the mean item. PixelRec's is as flat.
uint32_t DrawRank(RandomStream& random, uint32_t items);

}  // namespace pixelrec::data
