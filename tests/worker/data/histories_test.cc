#include "worker/data/histories.h"

#include <deque>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixelrec::data {
namespace {

using testing::ElementsAre;

TEST(Histories, EqualTimesKeepFileOrder_D4_W1) {
  const Histories h = GroupByUser({{5, 0, 1}, {3, 0, 2}, {5, 0, 3}, {3, 0, 4}, {5, 0, 5}}, 1);
  EXPECT_THAT(h.items, ElementsAre(2, 4, 1, 3, 5));
  EXPECT_THAT(h.times, ElementsAre(3, 3, 5, 5, 5));
}

TEST(Histories, UsersByTheirEarliestEvent_D5) {
  const Histories h = GroupByUser({{9, 0, 1}, {1, 1, 2}, {5, 2, 3}, {0, 2, 4}, {-7, 0, 5}}, 3);
  EXPECT_THAT(h.users, ElementsAre(0, 2, 1));
  EXPECT_THAT(h.offsets, ElementsAre(0, 2, 4, 5));
  EXPECT_THAT(h.items, ElementsAre(5, 1, 4, 3, 2));
}

TEST(Histories, NoEvents) {
  const Histories h = GroupByUser({}, 0);
  EXPECT_TRUE(h.users.empty());
  EXPECT_THAT(h.offsets, ElementsAre(0));
}

TEST(Histories, RepeatedPairsAreCounted) {
  EXPECT_EQ(CountDuplicates(GroupByUser({{0, 0, 7}, {1, 0, 7}, {2, 1, 7}, {3, 0, 8}, {4, 0, 7}}, 2)), 2);
}

// The rule as its sentence says it, on the items themselves.
std::vector<std::vector<int>> ChunksBySentence(std::deque<int> train, size_t m) {
  std::vector<std::vector<int>> chunks;
  if (train.size() <= m) return {{train.begin(), train.end()}};
  for (size_t drop = train.size() % m; drop > 0; --drop) train.pop_front();
  while (!train.empty()) {
    chunks.emplace_back(train.begin(), train.begin() + static_cast<ptrdiff_t>(m));
    train.erase(train.begin(), train.begin() + static_cast<ptrdiff_t>(m));
  }
  return chunks;
}

TEST(Chunks, EveryTrainLengthUpToThreeM_D6_D7_W7) {
  for (int m : {2, 3, 11}) {
    for (int train = 1; train <= 3 * m + 1; ++train) {
      std::deque<int> items;
      for (int i = 0; i < train; ++i) items.push_back(i);
      std::vector<std::vector<int>> expected = ChunksBySentence(items, static_cast<size_t>(m));
      const int64_t single = std::erase_if(expected, [](const auto& chunk) { return chunk.size() < 2; });

      std::vector<Sample> samples;
      EXPECT_EQ(AppendChunks(4, static_cast<uint64_t>(train) + 2, m, true, samples), single);
      ASSERT_EQ(samples.size(), expected.size()) << "m " << m << " train " << train;
      for (size_t i = 0; i < samples.size(); ++i) {
        EXPECT_EQ(samples[i].user, 4u);
        EXPECT_EQ(samples[i].start, static_cast<uint32_t>(expected[i].front()));
        EXPECT_EQ(samples[i].length, expected[i].size());
        EXPECT_EQ(samples[i].start + samples[i].length - 1, static_cast<uint32_t>(expected[i].back()));
      }
    }
  }
}

TEST(Chunks, WithoutSplitTheLastMOfEachUser_D8) {
  for (int train = 2; train <= 30; ++train) {
    std::vector<Sample> samples;
    EXPECT_EQ(AppendChunks(0, static_cast<uint64_t>(train) + 2, 5, false, samples), 0);
    ASSERT_EQ(samples.size(), 1u);
    EXPECT_EQ(samples[0].length, static_cast<uint32_t>(std::min(train, 5)));
    EXPECT_EQ(samples[0].start + samples[0].length, static_cast<uint32_t>(train));
  }
}

TEST(Chunks, ShortUsersGiveNone_W7) {
  for (bool split : {true, false}) {
    std::vector<Sample> samples;
    for (uint64_t events : {0, 1, 2}) EXPECT_EQ(AppendChunks(0, events, 11, split, samples), 0);
    EXPECT_EQ(AppendChunks(0, 3, 11, split, samples), 1);  // one item: dropped and counted
    EXPECT_TRUE(samples.empty());
  }
}

}  // namespace
}  // namespace pixelrec::data
