#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/data/batch.h"
#include "worker/data/philox.h"

namespace pixelrec::data {
namespace {

using testing::ElementsAre;

TEST(Philox, KnownAnswers) {
  // From the Random123 distribution's known-answer file.
  EXPECT_THAT(Philox({0, 0, 0, 0}, 0), ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(Philox({~0u, ~0u, ~0u, ~0u}, ~uint64_t{0}), ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(Philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, 0x299f31d0a4093822u),
              ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

TEST(SampleOrder, IsAPermutation) {
  std::vector<uint64_t> sizes = {1, 2, 3, 255, 256, 257, 1000, 4095, 4096, 4097, 65535, 65537, 100003};
  for (uint64_t size = 4; size < 70; ++size) sizes.push_back(size);
  for (uint64_t size : sizes) {
    for (uint64_t seed : {0, 1, 42}) {
      const SampleOrder order(seed, 7, size);
      std::vector<bool> seen(size);
      for (uint64_t i = 0; i < size; ++i) {
        const uint64_t sample = order[i];
        ASSERT_LT(sample, size);
        ASSERT_FALSE(seen[sample]) << size;
        seen[sample] = true;
      }
    }
  }
}

TEST(SampleOrder, LargeEpochsStayInRange) {
  const uint64_t size = (uint64_t{1} << 40) + 12345;
  const SampleOrder order(3, 1, size);
  std::vector<uint64_t> seen;
  for (uint64_t i = 0; i < 10000; ++i) seen.push_back(order[size - 1 - i]);
  for (uint64_t sample : seen) EXPECT_LT(sample, size);
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

// Chi-square of counts that should all be equal; within five standard deviations of its mean.
void ExpectUniform(const std::vector<int>& counts, int total) {
  const double expected = static_cast<double>(total) / static_cast<double>(counts.size());
  double chi = 0;
  for (int count : counts) chi += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size()) - 1;
  EXPECT_LT(std::abs(chi - freedom), 5 * std::sqrt(2 * freedom)) << "chi-square " << chi << " of " << freedom;
}

TEST(SampleOrder, EveryPlaceIsAsLikely) {
  for (uint64_t size : {2, 3, 5, 13, 40}) {
    std::vector<int> first(size);
    std::vector<int> last(size);
    constexpr int kTotal = 40000;
    for (int seed = 0; seed < kTotal; ++seed) {
      const SampleOrder order(static_cast<uint64_t>(seed), 1, size);
      ++first[order[0]];
      ++last[order[size - 1]];
    }
    ExpectUniform(first, kTotal);
    ExpectUniform(last, kTotal);
  }
}

TEST(SampleOrder, EveryOrderOfFourIsAsLikely) {
  std::vector<int> counts(256);
  constexpr int kTotal = 48000;
  for (int epoch = 0; epoch < kTotal; ++epoch) {
    const SampleOrder order(1, static_cast<uint64_t>(epoch), 4);
    ++counts[order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3]];
  }
  std::erase(counts, 0);
  ASSERT_EQ(counts.size(), 24u);
  ExpectUniform(counts, kTotal);
}

TEST(SampleOrder, NeighboursScatter) {
  constexpr uint64_t kSize = 100000;
  const SampleOrder order(1, 1, kSize);
  std::vector<int> gaps(20);
  for (uint64_t i = 0; i + 1 < kSize; ++i) ++gaps[(order[i + 1] + kSize - order[i]) % kSize * 20 / kSize];
  ExpectUniform(gaps, static_cast<int>(kSize) - 1);
}

TEST(DrawNegative, IsUniformOverWhatIsLeft_W2) {
  const std::vector<uint32_t> excluded = {1, 4, 5, 11};
  std::vector<int> counts(12);
  constexpr int kTotal = 70000;
  for (int i = 0; i < kTotal; ++i)
    ++counts[DrawNegative(3, 2, static_cast<uint64_t>(i / 7), static_cast<uint32_t>(i % 7), 11, excluded)];
  for (uint32_t item : excluded) EXPECT_EQ(counts[item], 0);
  EXPECT_EQ(counts[0], 0);
  std::vector<int> left;
  for (uint32_t item : {2, 3, 6, 7, 8, 9, 10}) left.push_back(counts[item]);
  ExpectUniform(left, kTotal);
}

TEST(DrawNegative, SlotsSamplesEpochsAndSeedsAreIndependent) {
  // Pairs of draws that differ in one coordinate coincide as often as chance says.
  constexpr uint32_t kItems = 10;
  constexpr int kTotal = 20000;
  std::vector<int> equal(4);
  for (uint64_t i = 0; i < kTotal; ++i) {
    const uint32_t draw = DrawNegative(1, 1, i, 0, kItems, {});
    equal[0] += draw == DrawNegative(2, 1, i, 0, kItems, {});
    equal[1] += draw == DrawNegative(1, 2, i, 0, kItems, {});
    equal[2] += draw == DrawNegative(1, 1, i + 1, 0, kItems, {});
    equal[3] += draw == DrawNegative(1, 1, i, 1, kItems, {});
  }
  for (int count : equal) EXPECT_NEAR(count, kTotal / 10, 5 * std::sqrt(kTotal * 0.1 * 0.9));
}

TEST(DrawNegative, FindsTheOnlyItemLeft) {
  std::vector<uint32_t> excluded;
  for (uint32_t item = 1; item <= 300; ++item) {
    if (item != 123) excluded.push_back(item);
  }
  for (uint32_t slot = 0; slot < 20; ++slot) EXPECT_EQ(DrawNegative(1, 1, 1, slot, 300, excluded), 123u);
}

// Numbers that must never change: a resumed job of an older build continues the same stream.
TEST(Sampling, StreamIsPinned) {
  const SampleOrder order(42, 1, 7103);
  std::vector<uint64_t> first;
  for (uint64_t i = 0; i < 6; ++i) first.push_back(order[i]);
  std::vector<uint32_t> negatives;
  for (uint32_t slot = 0; slot < 6; ++slot) negatives.push_back(DrawNegative(42, 1, 0, slot, 9674, {}));
  EXPECT_THAT(first, ElementsAre(2534, 4772, 2865, 1751, 205, 6365));
  EXPECT_THAT(negatives, ElementsAre(3824, 5521, 1637, 6072, 5186, 4250));
}

}  // namespace
}  // namespace pixelrec::data
