#include "worker/data/synthetic/shapes.h"

#include <algorithm>
#include <cmath>

namespace pixelrec::data {

// The mean of a Lomax distribution of shape 2 and scale s, cut at c, is s c / (s + c).
double LengthScale(double mean_extra, uint32_t cap) {
  const double c = cap;
  return mean_extra >= c ? 1e18 : mean_extra * c / (c - mean_extra);
}

uint32_t DrawExtraEvents(RandomStream& random, double scale, uint32_t cap) {
  // Inverse distribution function: s (u^-1/2 - 1), u in (0, 1]. Square root, division and the products are exactly rounded, and
  // no product is added to anything before it became an integer, so no compiler may fuse them.
  const double u = (static_cast<double>(random.Next32()) + 1.0) * 0x1p-32;
  const double extra = scale * (1.0 / std::sqrt(u) - 1.0);
  const auto fixed = static_cast<uint64_t>(std::min(extra, static_cast<double>(cap)) * 65536.0);
  return static_cast<uint32_t>((fixed + random.Below(65536)) >> 16);  // rounds up as often as the fraction says
}

uint32_t DrawRank(RandomStream& random, uint32_t items) {
  // t uniform in [1, 22): (t^2 - 1) / (22^2 - 1) has a density that falls as 1/t, and is 23/2 of the mean at t = 1.
  constexpr int kBits = 24;
  constexpr uint64_t kOne = uint64_t{1} << kBits;
  constexpr uint64_t kRange = 21;
  __extension__ using Wide = unsigned __int128;
  const uint64_t t = kOne + ((random.Next32() * kRange) >> (32 - kBits));
  const Wide position = Wide{t * t - kOne * kOne} * items;
  constexpr Wide kWhole = Wide{22 * 22 - 1} << (2 * kBits);
  return static_cast<uint32_t>(position / kWhole);
}

}  // namespace pixelrec::data
