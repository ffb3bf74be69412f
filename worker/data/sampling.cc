// The two sources of chance: the order of an epoch and the negatives.
#include <algorithm>
#include <bit>

#include "worker/data/batch.h"
#include "worker/data/philox.h"

namespace pixelrec::data {
namespace {

// What a stream of numbers is for; streams of the same seed and epoch must not meet.
enum class Purpose : uint64_t { kOrder = 1, kNegatives = 2 };

uint64_t StreamKey(uint64_t seed, uint64_t epoch, Purpose purpose, uint64_t part = 0) {
  return Low64(Philox(epoch, (static_cast<uint64_t>(purpose) << 32) | part, seed));
}

constexpr int kRounds = 8;
// Small epochs walk inside a domain of at least 2^8, where eight rounds mix well.
constexpr int kMinHalfBits = 4;

}  // namespace

SampleOrder::SampleOrder(uint64_t seed, uint64_t epoch, uint64_t size) : size_(size) {
  for (uint64_t i = 0; i < 4; ++i) key_[i] = StreamKey(seed, epoch, Purpose::kOrder, i);
  const int bits = std::bit_width(size > 0 ? size - 1 : 0);
  half_bits_ = std::max(kMinHalfBits, (bits + 1) / 2);
}

uint64_t SampleOrder::operator[](uint64_t position) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t value = position;
  do {  // the domain may be larger than the epoch: walk the cycle until back inside it
    uint64_t left = value >> half_bits_;
    uint64_t right = value & mask;
    for (int round = 0; round < kRounds; ++round) {
      uint64_t mixed = (right + static_cast<uint64_t>(round) * 0x9E3779B97F4A7C15u) ^ key_[round & 3];
      mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
      mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
      mixed ^= mixed >> 31;
      left = std::exchange(right, left ^ (mixed & mask));
    }
    value = (left << half_bits_) | right;
  } while (value >= size_);
  return value;
}

uint32_t DrawNegative(uint64_t seed, uint64_t epoch, uint64_t sample, uint32_t slot, uint32_t num_items,
                      std::span<const uint32_t> excluded) {
  const uint64_t key = StreamKey(seed, epoch, Purpose::kNegatives);
  // 2^64 mod num_items: products whose low half falls below it would favour some items.
  const uint64_t uneven = (0 - uint64_t{num_items}) % num_items;
  for (uint32_t attempt = 0;; ++attempt) {
    const uint64_t bits = Low64(Philox(sample, (uint64_t{attempt} << 32) | slot, key));
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide{bits} * num_items;
    if (static_cast<uint64_t>(product) < uneven) continue;
    const auto item = static_cast<uint32_t>(product >> 64) + 1;
    if (!std::binary_search(excluded.begin(), excluded.end(), item)) return item;
  }
}

}  // namespace pixelrec::data
