#include "coordinator/state/queue.h"

#include <gtest/gtest.h>

#include <chrono>

namespace pixelrec::coordinator {
namespace {

using std::chrono::microseconds;
using std::chrono::minutes;

constexpr minutes kAging{10};

JobRecord Job(uint64_t number, int priority, microseconds waiting_since) {
  JobRecord record;
  record.set_number(number);
  record.mutable_job()->mutable_spec()->mutable_scheduling()->set_priority(priority);
  record.set_waiting_since_us(waiting_since.count());
  return record;
}

bool Before(const JobRecord& a, const JobRecord& b) { return PlaceOf(a, kAging) < PlaceOf(b, kAging); }

TEST(Queue, IsByPriorityThenByNumber) {
  EXPECT_TRUE(Before(Job(2, 60, minutes(5)), Job(1, 50, minutes(5))));
  EXPECT_TRUE(Before(Job(1, 50, minutes(5)), Job(2, 50, minutes(5))));
  EXPECT_TRUE(Before(Job(2, 50, minutes(4)), Job(1, 50, minutes(5))));
}

TEST(Queue, TenMinutesOfWaitingAreWorthOneOfPriority) {
  EXPECT_TRUE(Before(Job(1, 50, minutes(0)), Job(2, 51, minutes(11))));
  EXPECT_FALSE(Before(Job(1, 50, minutes(0)), Job(2, 51, minutes(9))));
  EXPECT_EQ(EffectivePriority(Job(1, 50, minutes(0)), minutes(9), kAging), 50);
  EXPECT_EQ(EffectivePriority(Job(1, 50, minutes(0)), minutes(105), kAging), 60);
  EXPECT_EQ(EffectivePriority(Job(1, 50, minutes(30)), minutes(0), kAging), 50) << "a clock that was set back";
}

TEST(Queue, WhoHadRoomMadeGoesFirst) {
  JobRecord claims = Job(9, 1, minutes(1000));
  claims.set_claims(true);
  EXPECT_TRUE(Before(claims, Job(1, 100, minutes(0))));
}

TEST(Queue, AnOlderJournalKnowsTheTimeOfSubmissionOnly) {
  JobRecord record = Job(1, 50, minutes(0));
  record.mutable_job()->mutable_create_time()->set_seconds(3600);
  EXPECT_EQ(EffectivePriority(record, minutes(80), kAging), 52);
}

TEST(Queue, SaysWhatAJobNeeds) {
  JobRecord record = Job(1, 70, minutes(0));
  EXPECT_EQ(WaitingOf(record), (Waiting{.needed = 1, .priority = 70}));
  v1::JobSpec& spec = *record.mutable_job()->mutable_spec();
  spec.mutable_distributed()->set_min_workers(3);
  spec.mutable_scheduling()->mutable_time_limit()->set_seconds(60);
  record.mutable_job()->mutable_run_time()->set_seconds(45);
  record.add_unfit_hosts("h");
  EXPECT_EQ(WaitingOf(record), (Waiting{.needed = 3, .priority = 70, .picky = true, .time_left = std::chrono::seconds(15)}));
}

}  // namespace
}  // namespace pixelrec::coordinator
