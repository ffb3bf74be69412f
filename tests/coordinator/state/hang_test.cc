#include "coordinator/state/hang.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;
using testing::HasSubstr;

struct At {
  v1::TrainerSection section = v1::TRAINER_SECTION_FORWARD;
  uint64_t collective = 0;
  int lasts_ms = 0;
  int typical_ms = 100;  // negative: unknown
  bool waits = false;
  bool stopped = false;
};

v1::RankPosition Position(const At& at) {
  v1::RankPosition position;
  position.set_section(at.section);
  position.set_step(41);
  position.set_collective(at.collective);
  position.set_waits(at.waits);
  position.set_process_stopped(at.stopped);
  *position.mutable_lasts() = TimeUtil::MillisecondsToDuration(at.lasts_ms);
  if (at.typical_ms >= 0) *position.mutable_typical() = TimeUtil::MillisecondsToDuration(at.typical_ms);
  return position;
}

std::optional<Hang> Find(const std::vector<At>& ranks, int world_size = 0) {
  std::map<int32_t, v1::RankPosition> positions;
  for (size_t rank = 0; rank < ranks.size(); ++rank) positions[static_cast<int32_t>(rank)] = Position(ranks[rank]);
  return FindHang(positions, world_size > 0 ? world_size : static_cast<int>(ranks.size()), Policy{});
}

TEST(HangTest, DeadlinesAreAFloorAndTenMedians) {
  const Policy policy;
  const auto deadline = [&](const At& at) { return HangDeadline(Position(at), policy); };
  EXPECT_EQ(deadline({.typical_ms = 100}), milliseconds(5000));
  EXPECT_EQ(deadline({.typical_ms = 700}), milliseconds(7000));
  EXPECT_EQ(deadline({.typical_ms = -1}), policy.start_timeout);  // the first batch of a kind may be slow
  EXPECT_EQ(deadline({.section = v1::TRAINER_SECTION_WRITE_CHECKPOINT, .typical_ms = 1}), policy.start_timeout);
  EXPECT_EQ(deadline({.section = v1::TRAINER_SECTION_WRITE_CHECKPOINT, .typical_ms = 60'000}), milliseconds(600'000));
  EXPECT_EQ(deadline({.section = v1::TRAINER_SECTION_WRITE_CHECKPOINT, .typical_ms = 1, .waits = true}), milliseconds(5000));
  // Between two signs of progress of a preparation anything may lie, but nothing comes of a stopped process.
  EXPECT_EQ(deadline({.section = v1::TRAINER_SECTION_PREPARE, .typical_ms = 1}), 10 * policy.start_timeout);
  EXPECT_EQ(deadline({.section = v1::TRAINER_SECTION_PREPARE, .stopped = true}), milliseconds(5000));
  EXPECT_EQ(deadline({.section = v1::TRAINER_SECTION_AWAIT_COMMIT}), std::nullopt);
  EXPECT_EQ(deadline({.section = v1::TRAINER_SECTION_AWAIT_COMMIT, .stopped = true}), milliseconds(5000));
}

TEST(HangTest, OneRankAlone) {
  EXPECT_FALSE(Find({{.lasts_ms = 4999}}));
  const auto hang = Find({{.lasts_ms = 5200}});
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->rank, 0);
  EXPECT_EQ(hang->message, "hangs at step 42, for 5.2 s in its forward pass (usually 0.100 s)");
}

TEST(HangTest, WhoeverTheOthersWaitForIsNamed) {
  const At waits = {.section = v1::TRAINER_SECTION_BACKWARD, .collective = 7, .lasts_ms = 6000, .waits = true};
  const auto hang =
      Find({waits, {.section = v1::TRAINER_SECTION_DATA, .collective = 6, .lasts_ms = 5500, .typical_ms = 1}, waits});
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->rank, 1);
  EXPECT_THAT(hang->message, HasSubstr("for 5.5 s waiting for its next batch"));
  EXPECT_THAT(hang->message, HasSubstr("2 ranks wait for it"));
}

TEST(HangTest, WhoeverWaitsForOneThatStillWorksIsWell) {
  const At waits = {.collective = 7, .lasts_ms = 600'000, .waits = true};
  EXPECT_FALSE(
      Find({waits, {.section = v1::TRAINER_SECTION_WRITE_MODEL, .collective = 6, .lasts_ms = 100'000, .typical_ms = -1}}));
  EXPECT_FALSE(Find({waits, {.section = v1::TRAINER_SECTION_AWAIT_COMMIT, .collective = 6, .lasts_ms = 600'000}}));
  EXPECT_FALSE(Find({waits, {.collective = 7, .lasts_ms = 10}}));  // has come to it as well, and computes meanwhile
}

TEST(HangTest, NobodyIsNamedWhereNoneGetsThrough) {
  const At waits = {.collective = 7, .lasts_ms = 6000, .waits = true};
  const auto hang = Find({waits, waits});
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->rank, -1);
  EXPECT_EQ(hang->message, "all ranks have come to collective 7 of step 42 and none gets through it, for 6.0 s");
  EXPECT_FALSE(Find({waits, {.collective = 7, .lasts_ms = 4000, .waits = true}}));
}

TEST(HangTest, OneThatIsStoppedInTheMiddleOfAWaitIsNamed) {
  const At waits = {.collective = 7, .lasts_ms = 6000, .waits = true};
  At stopped = waits;
  stopped.stopped = true;
  stopped.lasts_ms = 5900;
  const auto hang = Find({waits, stopped});
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->rank, 1);
  EXPECT_THAT(hang->message, HasSubstr("its process is stopped"));
  // Also where another was still busy when it stopped.
  EXPECT_EQ(Find({{.collective = 6, .lasts_ms = 9000, .typical_ms = 3000}, stopped})->rank, 1);
}

TEST(HangTest, OneThatIsLeftBehindInAWaitIsNamed) {
  const auto hang =
      Find({{.collective = 9, .lasts_ms = 6000, .waits = true}, {.collective = 7, .lasts_ms = 8000, .waits = true}});
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->rank, 1);
  EXPECT_THAT(hang->message, HasSubstr("for 8.0 s in collective 7, which others are past"));
}

TEST(HangTest, NobodyIsJudgedBeforeAllWereHeard) { EXPECT_FALSE(Find({{.lasts_ms = 60'000}}, 2)); }

}  // namespace
}  // namespace pixelrec::coordinator
