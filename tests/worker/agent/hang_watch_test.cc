#include "worker/agent/hang_watch.h"

#include <gtest/gtest.h>

#include "google/protobuf/util/time_util.h"

namespace pixelrec::agent {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;

const Time kSince{std::chrono::hours(3)};

std::optional<channel::Position> At(std::optional<std::chrono::nanoseconds> typical) {
  return channel::Position{.section = v1::TRAINER_SECTION_FORWARD, .step = 4, .since = kSince, .typical = typical};
}

v1::Registered Terms() {
  v1::Registered terms;
  terms.mutable_hang_floor()->set_seconds(5);
  terms.set_hang_factor(10);
  return terms;
}

TEST(HangWatchTest, ASectionIsDueOnceWhenItOutlastsItsDeadline) {
  HangWatch watch;
  EXPECT_EQ(watch.Due(At(milliseconds(1))), std::nullopt);  // an older coordinator sets no terms
  watch.OnRegistered(Terms());
  EXPECT_EQ(watch.Due(std::nullopt), std::nullopt);
  EXPECT_EQ(watch.Due(At(std::nullopt)), std::nullopt);
  EXPECT_EQ(watch.Due(At(milliseconds(20))), kSince + milliseconds(5000));
  EXPECT_EQ(watch.Due(At(milliseconds(700))), kSince + milliseconds(7000));
  watch.OnTold(At(milliseconds(20)));
  EXPECT_EQ(watch.Due(At(milliseconds(20))), std::nullopt);
  EXPECT_EQ(watch.Due(At(milliseconds(21))), kSince + milliseconds(5000));  // another section
}

TEST(HangWatchTest, WhatTheCoordinatorIsTold) {
  channel::Position position = *At(milliseconds(20));
  position.waits = true;
  position.collective = 9;
  v1::RankPosition told = ToProto({"flow-1", 2, 3}, position, kSince + milliseconds(1500));
  EXPECT_EQ(told.job_id(), "flow-1");
  EXPECT_EQ(told.generation(), 2u);
  EXPECT_EQ(told.rank(), 3);
  EXPECT_EQ(told.section(), v1::TRAINER_SECTION_FORWARD);
  EXPECT_EQ(told.step(), 4);
  EXPECT_EQ(told.collective(), 9u);
  EXPECT_TRUE(told.waits());
  EXPECT_EQ(TimeUtil::DurationToMilliseconds(told.lasts()), 1500);
  EXPECT_EQ(TimeUtil::DurationToMilliseconds(told.typical()), 20);
  // What a broken trainer writes is not believed.
  position.section = 77;
  position.typical.reset();
  told = ToProto({"flow-1", 2, 3}, position, kSince - milliseconds(1));
  EXPECT_EQ(told.section(), v1::TRAINER_SECTION_UNSPECIFIED);
  EXPECT_EQ(TimeUtil::DurationToMilliseconds(told.lasts()), 0);
  EXPECT_FALSE(told.has_typical());
}

}  // namespace
}  // namespace pixelrec::agent
