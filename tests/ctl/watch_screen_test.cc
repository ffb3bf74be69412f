// Screens of `watch`, held against files: a screen is a pure function of what is known, the size and the time.
//
// To write what it draws now into the files, and then to read the difference in version control:
//   PIXELREC_REWRITE=1 ctest -R ctl_test
#include "ctl/render/watch_screen.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ctl/render/table.h"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {
namespace {

constexpr int kStart = 1764000000;

v1::JobEvent Event(int second, const std::string& body) {
  return FromText<v1::JobEvent>(absl::StrCat("sequence: 1 time { seconds: ", kStart + second, " } generation: 2 ", body));
}

// Two ranks in their first epoch, a checkpoint, a failure before.
WatchState Training() {
  WatchState state;
  const v1::Job job = SampleJob();
  for (int step = 1; step <= 110; ++step) {
    v1::MetricPoint point;
    point.set_step(step);
    point.mutable_training()->set_loss(4.0 + 3.0 / (1 + step / 20.0) + 0.1 * std::sin(step));
    state.Take(point);
  }
  state.Take(Event(1, "state_change { to: JOB_STATE_STARTING reason: 'generation 1: 2 ranks start' }"), job);
  state.Take(Event(3,
                   "failure { cause: FAILURE_CAUSE_TRAINER_SIGNAL rank: 1 worker_id: 'local-1' generation: 1 signal: 9 "
                   "message: 'killed by signal 9 (SIGKILL)' }"),
             job);
  state.Take(Event(5, "state_change { to: JOB_STATE_RUNNING reason: 'all 2 ranks of generation 2 train' }"), job);
  state.Take(
      Event(20, "artifact { kind: ARTIFACT_KIND_RECOVERY_CHECKPOINT path: '/out/recovery/step-100' step: 100 bytes: 3145728 }"),
      job);
  state.Take(Event(21,
                   "artifact { kind: ARTIFACT_KIND_BEST_MODEL path: '/out/best_model' epoch: 1 step: 100 "
                   "validation_loss: 4.9012 }"),
             job);
  state.Take(Event(25, "notice { severity: NOTICE_SEVERITY_WARNING rank: 0 text: 'step 104: loss nan: step skipped' }"), job);
  v1::JobEvent progress = Event(30, "");
  *progress.mutable_progress() = job.progress();
  progress.mutable_progress()->set_grad_norm(1.25);
  progress.mutable_progress()->set_samples_per_second(98.7);
  progress.mutable_progress()->set_step_seconds(0.125);
  progress.mutable_progress()->set_resident_bytes(512000000);
  state.Take(progress, job);
  return state;
}

ScreenOptions Of(int columns, int rows) {
  return {.columns = columns,
          .rows = rows,
          .now = absl::FromUnixSeconds(kStart + 32),
          .zone = absl::UTCTimeZone(),
          .utf8 = true,
          .colour = false};
}

void ExpectScreen(const std::string& name, const WatchState& state, const ScreenOptions& options) {
  const std::vector<std::string> lines = WatchScreen(state, options);
  EXPECT_LE(static_cast<int>(lines.size()), options.rows);
  for (const std::string& line : lines) {
    if (options.colour) break;
    EXPECT_LE(static_cast<int>(DisplayWidth(line)), options.columns) << line;
  }
  const std::string drawn = absl::StrJoin(lines, "\n") + "\n";
  const std::string file = absl::StrCat(PIXELREC_SOURCE_DIR, "/tests/ctl/testdata/screens/", name, ".txt");
  if (std::getenv("PIXELREC_REWRITE") != nullptr) {
    std::ofstream(file) << drawn;
    return;
  }
  std::ifstream in(file);
  ASSERT_TRUE(in) << file;
  std::ostringstream expected;
  expected << in.rdbuf();
  EXPECT_EQ(expected.str(), drawn) << "\nIf this is what it should be: PIXELREC_REWRITE=1, and read the difference.";
}

TEST(WatchScreen, OfAJobThatTrains) { ExpectScreen("training_80x24", Training(), Of(80, 24)); }
TEST(WatchScreen, OnALargeTerminal) { ExpectScreen("training_120x40", Training(), Of(120, 40)); }
TEST(WatchScreen, OnANarrowTerminal) { ExpectScreen("training_40x20", Training(), Of(40, 20)); }
TEST(WatchScreen, OnAFlatTerminal) { ExpectScreen("training_80x8", Training(), Of(80, 8)); }

TEST(WatchScreen, InColour) {
  ScreenOptions options = Of(80, 24);
  options.colour = true;
  ExpectScreen("training_colour", Training(), options);
}

TEST(WatchScreen, WithoutUtf8) {
  ScreenOptions options = Of(80, 24);
  options.utf8 = false;
  ExpectScreen("training_ascii", Training(), options);
  for (const std::string& line : WatchScreen(Training(), options)) {
    for (const char c : line) EXPECT_TRUE(c >= ' ' && c <= '~') << line;
  }
}

TEST(WatchScreen, InASectionAndWithoutTheCoordinator) {
  WatchState state = Training();
  v1::JobEvent progress =
      Event(31, "progress { epoch: 1 epochs: 2 step: 234 total_steps: 468 section: 'validate' section_fraction: 0.4 }");
  state.Take(progress, state.job);
  state.lost = true;
  ExpectScreen("validating_lost", state, Of(80, 24));
}

TEST(WatchScreen, OfAJobThatWaits) {
  WatchState state;
  v1::Job job = SampleJob();
  job.set_state(v1::JOB_STATE_PENDING);
  job.set_reason("needs 2 workers; 1 idle");
  job.set_generation(0);
  job.clear_ranks();
  job.clear_progress();
  state.Take(Event(0, "state_change { to: JOB_STATE_PENDING reason: 'needs 2 workers; 1 idle' }"), job);
  ExpectScreen("waiting", state, Of(80, 24));
}

TEST(WatchScreen, OfManyRanksSaysThatThereAreMore) {
  WatchState state = Training();
  for (int rank = 2; rank < 64; ++rank) {
    v1::RankPlacement& placement = *state.job.add_ranks();
    placement.set_rank(rank);
    placement.set_worker_id(absl::StrCat("node-", rank, ":gpu"));
    placement.set_pid(4000 + rank);
  }
  ExpectScreen("many_ranks", state, Of(80, 30));
}

// No size is too small, and nothing is drawn beyond it.
TEST(WatchScreen, OfAnySizeStaysInside) {
  const WatchState state = Training();
  for (int columns = 1; columns <= 130; columns += 3) {
    for (int rows = 1; rows <= 50; ++rows) {
      const std::vector<std::string> lines = WatchScreen(state, Of(columns, rows));
      ASSERT_LE(static_cast<int>(lines.size()), rows);
      for (const std::string& line : lines) ASSERT_LE(static_cast<int>(DisplayWidth(line)), columns) << columns << "x" << rows;
    }
  }
  WatchScreen(WatchState(), Of(80, 24));
}

TEST(WatchScreen, ControlCharactersOfOthersDoNotReachTheTerminal) {
  WatchState state = Training();
  state.Take(Event(31, "notice { text: 'bad \\033[2J\\nname' }"), state.job);
  state.job.set_reason("\x1b]0;title\x07");
  for (const std::string& line : WatchScreen(state, Of(80, 24))) {
    EXPECT_EQ(line.find('\x1b'), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

TEST(WatchScreen, WhatItKeepsIsBounded) {
  WatchState state;
  for (int i = 1; i <= 10000; ++i) {
    state.Take(Event(i, "notice { text: 'x' }"), SampleJob());
    v1::JobEvent progress = Event(i, absl::StrCat("progress { epochs: 2 section: 'train' loss: 1 step: ", i, " }"));
    state.Take(progress, SampleJob());
  }
  EXPECT_LE(state.events.size(), 100U);
  EXPECT_LE(state.losses.points().size(), 2048U);
  EXPECT_EQ(state.losses.points().front().step, 1);
  EXPECT_EQ(state.losses.points().back().step, 10000);
}

TEST(LossCurve, StepsThatAreDoneAgainReplaceTheLostOnes) {
  LossCurve curve;
  for (int step = 1; step <= 10; ++step) curve.Add(step, step);
  curve.Add(6, 100);
  curve.Add(7, NAN);
  ASSERT_EQ(curve.points().size(), 6U);
  EXPECT_EQ(curve.points().back().step, 6);
  EXPECT_EQ(curve.points().back().loss, 100);
}

TEST(LossCurve, IsDrawnFromHighToLow) {
  const std::vector<LossCurve::Point> points = {{1, 3}, {2, 2}, {3, 1}, {4, 1}};
  EXPECT_THAT(DrawCurve(points, 17, 2, false), testing::ElementsAre("      3 |##...   ", "      1 |#####..."));
  EXPECT_TRUE(DrawCurve({{1, 3}}, 40, 4, true).empty());
  EXPECT_TRUE(DrawCurve(points, 10, 4, true).empty());
}

}  // namespace
}  // namespace pixelrec::ctl
