// Where a job's time went, told from its events.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ctl/client/job_story.h"
#include "ctl/render/story_text.h"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {
namespace {

using testing::HasSubstr;

// One event, `second` seconds after the job was submitted.
std::string At(int second, const std::string& body, int generation = 0) {
  return absl::StrCat("events { time { seconds: ", 1764000000 + second, " } generation: ", generation, " ", body, " }\n");
}
std::string To(const std::string& state, const std::string& more = "") {
  return absl::StrCat("state_change { to: JOB_STATE_", state, " ", more, " }");
}
std::string Checkpoint(int step) { return absl::StrCat("artifact { kind: ARTIFACT_KIND_RECOVERY_CHECKPOINT step: ", step, " }"); }

// Waits 2 s, prepares 3 s, starts in 1 s; a rank dies 10 s after the checkpoint of step 50; 1 s later two ranks start from it.
std::string KilledOnce() {
  return At(0, To("PENDING", "reason: \"needs 2 workers; 1 idle\"")) + At(2, To("PREPARING"), 1) +
         At(5, To("STARTING", "ranks: 2"), 2) + At(6, To("RUNNING", "ranks: 2"), 2) + At(26, Checkpoint(50), 2) +
         At(36,
            "failure { cause: FAILURE_CAUSE_TRAINER_SIGNAL rank: 1 worker_id: \"w2\" generation: 2 step: 70 message: \"killed by "
            "signal 9\" hint: \"see dmesg\" }",
            2) +
         At(36, To("RECOVERING", "reason: \"rank 1 on w2: killed by signal 9; restart 1 of 20 from step 50\""), 2) +
         At(37, To("STARTING", "ranks: 2 from_step: 50"), 3) + At(39, To("RUNNING", "ranks: 2 from_step: 50"), 3);
}

JobStory Story(const v1::Job& job, const std::string& history, int now = 1000) {
  return StoryOf(job, FromText<v1::ListJobEventsResponse>(history), absl::FromUnixSeconds(1764000000 + now));
}

void ExpectSeconds(const JobStory& story, TimeBucket bucket, double seconds) {
  EXPECT_EQ(absl::ToDoubleSeconds(story.In(bucket)), seconds) << BucketName(bucket);
}

void ExpectAddsUp(const JobStory& story, double seconds) {
  absl::Duration sum;
  for (const TimeBucket bucket : kTimeBuckets) sum += story.In(bucket);
  EXPECT_EQ(sum, story.total);
  EXPECT_EQ(absl::ToDoubleSeconds(story.total), seconds);
  for (size_t i = 1; i < story.spans.size(); ++i) EXPECT_EQ(story.spans[i].from, story.spans[i - 1].to) << i;
}

TEST(Story, StepsThatNoCheckpointKeptAreLostWork) {
  const JobStory story = Story(FinishedJob(), KilledOnce() + At(60, Checkpoint(100), 3) + At(70, To("SUCCEEDED"), 3));
  ExpectAddsUp(story, 70);
  ExpectSeconds(story, TimeBucket::kWaiting, 2);
  ExpectSeconds(story, TimeBucket::kPrepare, 3);
  ExpectSeconds(story, TimeBucket::kStart, 1 + 2);
  ExpectSeconds(story, TimeBucket::kCompute, 20 + 31);
  ExpectSeconds(story, TimeBucket::kLostWork, 10);
  ExpectSeconds(story, TimeBucket::kRestart, 1);
  EXPECT_EQ(story.Goodput(), 51.0 / 68);
  ASSERT_EQ(story.failures.size(), 1U);
  EXPECT_EQ(story.failures[0].lost_steps, 20);
  EXPECT_EQ(story.failures[0].lost_time, absl::Seconds(10));
}

TEST(Story, IsToldInWordsAndAsData) {
  const JobStory story = Story(FinishedJob(), KilledOnce() + At(60, Checkpoint(100), 3) + At(70, To("SUCCEEDED"), 3));
  const std::string text = StoryText(FinishedJob(), story, absl::UTCTimeZone());
  EXPECT_THAT(text, HasSubstr("2025-11-24 16:00:00  2.0 s  waiting      -      -  -       needs 2 workers; 1 idle\n"));
  EXPECT_THAT(text, HasSubstr("2025-11-24 16:00:06   20 s  compute      2      2  1-50    trains\n"
                              "2025-11-24 16:00:26   10 s  lost_work    2      2  51-70   trains, but no checkpoint kept it\n"
                              "2025-11-24 16:00:36  1.0 s  restart      2      -  -       rank 1 on w2: killed by signal 9;"));
  EXPECT_THAT(text,
              HasSubstr("\n16:00:36  generation 2 failed at step 70; 20 steps after its last checkpoint, 10 s of work, lost\n"
                        "  cause: TRAINER_SIGNAL\n  what:  killed by signal 9\n"));
  EXPECT_THAT(text, HasSubstr("lost_work    10 s   14.3%\n"));
  EXPECT_THAT(text, HasSubstr("goodput 75.0% of the time that it neither waited nor was paused\n"));
  const auto data = nlohmann::json::parse(StoryData(FinishedJob(), story, OutputFormat::kJson));
  EXPECT_EQ(data["ledger_seconds"]["lost_work"], 10);
  EXPECT_EQ(data["failures"][0]["lost_steps"], 20);
  EXPECT_EQ(data["spans"][3]["bucket"], "compute");
  EXPECT_EQ(data["spans"][3]["from"], "2025-11-24T16:00:06.000000Z");
}

// Waiting for data and standing still for checkpoints are taken out of the training that they are spread over; what is lost is
// lost whole.
TEST(Story, StallsAreBucketsOfTheirOwn) {
  const auto saved = [](int step, const char* stalls) {
    return absl::StrCat("artifact { kind: ARTIFACT_KIND_RECOVERY_CHECKPOINT step: ", step, " stalls { ", stalls, " } }");
  };
  const std::string begin = At(0, To("STARTING", "ranks: 2"), 1) + At(1, To("RUNNING", "ranks: 2"), 1) +
                            At(21, saved(20, "data_seconds: 3 checkpoint_seconds: 2"), 1) +
                            At(31, saved(30, "data_seconds: 5 checkpoint_seconds: 4"), 1) +
                            At(41, "failure { generation: 1 step: 40 rank: 0 }", 1) + At(41, To("RECOVERING"), 1) +
                            At(42, To("STARTING", "ranks: 2 from_step: 30"), 2) +
                            At(44, To("RUNNING", "ranks: 2 from_step: 30"), 2);
  const JobStory ended =
      Story(FinishedJob(),
            begin + At(60, "result { stalls { data_seconds: 1.5 checkpoint_seconds: 0.5 } }", 2) + At(64, To("SUCCEEDED"), 2));
  ExpectAddsUp(ended, 64);
  ExpectSeconds(ended, TimeBucket::kData, 5 + 1.5);
  ExpectSeconds(ended, TimeBucket::kCheckpoint, 4 + 0.5);
  ExpectSeconds(ended, TimeBucket::kCompute, 30 - 9 + 20 - 2);
  ExpectSeconds(ended, TimeBucket::kLostWork, 10);
  EXPECT_EQ(ended.Goodput(), 39.0 / 64);
  const std::string text = StoryText(FinishedJob(), ended, absl::UTCTimeZone());
  EXPECT_THAT(text, HasSubstr("trains; 5.0 s waiting for data; 4.0 s for checkpoints\n"));
  EXPECT_THAT(text, HasSubstr("checkpoint  4.5 s    7.0%\n"));
  EXPECT_EQ(nlohmann::json::parse(StoryData(FinishedJob(), ended, OutputFormat::kJson))["ledger_seconds"]["data"], 6.5);

  // While it runs, the newest progress tells; its clock may be ahead of what the events say.
  v1::Job running = SampleJob();
  running.mutable_progress()->mutable_stalls()->set_data_seconds(2);
  running.mutable_progress()->mutable_stalls()->set_checkpoint_seconds(100);
  const JobStory now = Story(running, begin, 54);
  ExpectAddsUp(now, 54);
  ExpectSeconds(now, TimeBucket::kData, 5 + 2);
  ExpectSeconds(now, TimeBucket::kCheckpoint, 4 + 8);

  // Of a job that fell back to the checkpoint before, only what that one holds counts.
  v1::Job failed = SampleJob();
  failed.set_state(v1::JOB_STATE_FAILED);
  failed.mutable_checkpoint()->set_step(20);
  const JobStory back =
      Story(failed, At(0, To("RUNNING", "ranks: 2"), 1) + At(20, saved(20, "data_seconds: 3 checkpoint_seconds: 2"), 1) +
                        At(30, saved(30, "data_seconds: 5 checkpoint_seconds: 4"), 1) +
                        At(40, "failure { generation: 1 step: 40 }", 1) + At(40, To("FAILED"), 1));
  ExpectAddsUp(back, 40);
  ExpectSeconds(back, TimeBucket::kData, 3);
  ExpectSeconds(back, TimeBucket::kCompute, 15);
  ExpectSeconds(back, TimeBucket::kLostWork, 20);
}

// Without a checkpoint the whole generation was for nothing.
TEST(Story, AGenerationWithoutACheckpointIsLost) {
  const JobStory story = Story(SampleJob(),
                               At(0, To("STARTING", "ranks: 1"), 1) + At(1, To("RUNNING", "ranks: 1"), 1) +
                                   At(9, "failure { generation: 1 step: 8 rank: 0 }", 1) + At(9, To("RECOVERING"), 1) +
                                   At(10, To("STARTING", "ranks: 1"), 2) + At(11, To("RUNNING", "ranks: 1"), 2),
                               31);
  ExpectAddsUp(story, 31);
  ExpectSeconds(story, TimeBucket::kLostWork, 8);
  ExpectSeconds(story, TimeBucket::kCompute, 20);  // of the one that runs still
  EXPECT_EQ(story.failures[0].lost_steps, 8);
}

// The ranks stop through a checkpoint: nothing is lost, and what follows the commit is the way to the next generation.
TEST(Story, AGangThatGrowsLosesNothing) {
  const JobStory story =
      Story(SampleJob(),
            At(0, To("STARTING", "ranks: 1"), 1) + At(1, To("RUNNING", "ranks: 1"), 1) + At(21, Checkpoint(20), 1) +
                At(22, To("STARTING", "ranks: 3 from_step: 20"), 2) + At(24, To("RUNNING", "ranks: 3 from_step: 20"), 2),
            30);
  ExpectAddsUp(story, 30);
  ExpectSeconds(story, TimeBucket::kCompute, 20 + 6);
  ExpectSeconds(story, TimeBucket::kStart, 1 + 1 + 2);
  ExpectSeconds(story, TimeBucket::kLostWork, 0);
}

TEST(Story, OfAFailedJobKeepsWhatItsLastCheckpointHolds) {
  v1::Job job = SampleJob();
  job.set_state(v1::JOB_STATE_FAILED);
  job.mutable_checkpoint()->set_step(5);
  const JobStory story = Story(job, At(0, To("RUNNING", "ranks: 1"), 1) + At(4, Checkpoint(5), 1) +
                                        At(10, "failure { generation: 1 step: 9 }", 1) + At(10, To("FAILED"), 1));
  ExpectAddsUp(story, 10);
  ExpectSeconds(story, TimeBucket::kCompute, 4);
  ExpectSeconds(story, TimeBucket::kLostWork, 6);
}

TEST(Story, OfAJobThatOnlyWaits) {
  v1::Job job = SampleJob();
  job.clear_progress();
  job.set_state(v1::JOB_STATE_PENDING);
  const JobStory story = Story(job, At(0, To("PENDING", "reason: \"needs 4 workers; 2 idle\"")), 40);
  ExpectAddsUp(story, 40);
  ExpectSeconds(story, TimeBucket::kWaiting, 40);
  EXPECT_EQ(story.Goodput(), 0);
}

}  // namespace
}  // namespace pixelrec::ctl
