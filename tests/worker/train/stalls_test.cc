// The time in which training stands still, as it is told.
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>

#include "tests/worker/train/small_job.h"
#include "worker/train/stall_clock.h"
#include "worker/train/trainer.h"

namespace pixelrec::train {
namespace {

TEST(StallClock, CountsOneWithinAnotherOnce) {
  std::chrono::steady_clock::time_point now{};
  const auto pass = [&now](int seconds) { now += std::chrono::seconds(seconds); };
  StallClock clock([&now] { return now; });
  pass(1);
  {
    const StallClock::Scope outer(clock);
    pass(2);
    {
      const StallClock::Scope inner(clock);
      pass(4);
    }
    EXPECT_EQ(clock.seconds(), 6) << "up to now";
  }
  pass(8);
  {
    const StallClock::Scope again(clock);
    pass(16);
  }
  EXPECT_EQ(clock.seconds(), 2 + 4 + 16);
}

TEST(Stalls, AreToldWithProgressCheckpointsAndTheResult) {
  const TestFolder folder("stalls");
  TrainJob job = SmallJob(PrepareSmallData(folder.path(), 1500), folder.path() / "out");
  job.epochs = 2;
  job.checkpoint_every_steps = 5;
  job.dataloader_num_workers = 0;  // batches are made when a step asks for them
  std::vector<RecordingLink> links;
  const auto begin = std::chrono::steady_clock::now();
  for (const absl::Status& status : RunGang(job, 2, links)) ASSERT_TRUE(status.ok()) << status;
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  ASSERT_TRUE(links[0].result.has_value());
  const StallRecord all = links[0].result->stalls;
  for (const RecordingLink& link : links) {
    const double mine = std::accumulate(link.steps.begin(), link.steps.end(), 0.0,
                                        [](double sum, const StepRecord& step) { return sum + step.data_seconds; });
    EXPECT_GT(mine, 0);
    EXPECT_LE(mine, all.data_seconds * (1 + 1e-9)) << "of each step, the rank that waited longest";
  }
  StallRecord before;
  ASSERT_FALSE(links[0].artifacts.empty());
  for (const ArtifactRecord& artifact : links[0].artifacts) {
    EXPECT_GE(artifact.stalls.data_seconds, before.data_seconds);
    EXPECT_GT(artifact.stalls.checkpoint_seconds, before.checkpoint_seconds);
    before = artifact.stalls;
  }
  EXPECT_GE(all.data_seconds, before.data_seconds);
  EXPECT_GE(all.checkpoint_seconds, before.checkpoint_seconds);
  EXPECT_LT(all.data_seconds + all.checkpoint_seconds, took);

  int64_t record = 0;
  for (const ProgressRecord& progress : links[0].progress) {
    if (progress.section != "train" && progress.section != "validate") continue;
    record += progress.section == "train" ? 1 : 0;
    EXPECT_EQ(progress.record, record) << "each record has the next number, and is repeated outside of training";
  }
  EXPECT_EQ(record, static_cast<int64_t>(links[0].steps.size()));
}

}  // namespace
}  // namespace pixelrec::train
