#include "worker/agent/run_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

namespace pixelrec::agent {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

class RunMetricsTest : public testing::Test {
 protected:
  static Time At(int ms) { return Time{} + milliseconds(ms); }
  std::string Page() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }
  void Step(int64_t step, double loss, bool nonfinite = false) {
    v1::TrainerReport report;
    v1::StepTimings& timings = *report.mutable_step_timings();
    timings.set_step(step);
    timings.set_epoch(2);
    timings.set_loss(loss);
    timings.set_samples(32);
    timings.set_tokens(1000);
    timings.set_forward_seconds(0.25);
    timings.set_resident_bytes(1 << 20);
    timings.set_nonfinite(nonfinite);
    metrics_.OnReport(report, At(0), 1234);
  }

  prometheus::Registry registry_;
  RunMetrics metrics_{registry_, milliseconds(60'000)};
};

TEST_F(RunMetricsTest, ARunShowsItsStepsAndLeavesAfterTheGrace) {
  EXPECT_THAT(Page(), Not(HasSubstr("\npixelrec_loss ")));
  metrics_.OnStarted({"job-1", 3, 1});
  Step(10, 4.5);
  Step(11, 4.25, true);
  const std::string page = Page();
  EXPECT_THAT(page, HasSubstr("pixelrec_run_info{generation=\"3\",job_id=\"job-1\",rank=\"1\"} 1"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_step 11"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_epoch 2"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_loss 4.25"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_last_step_timestamp_seconds 1234"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_samples_total 64"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_tokens_total 2000"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_nonfinite_steps_total 1"));
  EXPECT_THAT(page, HasSubstr("pixelrec_step_duration_seconds_count{phase=\"forward\"} 2"));
  EXPECT_THAT(page, HasSubstr("pixelrec_device_memory_bytes{kind=\"host_resident\"} 1048576"));

  metrics_.OnEnded(At(1000));
  metrics_.Tick(At(60'999));
  EXPECT_THAT(Page(), HasSubstr("job-1"));
  EXPECT_EQ(metrics_.NextDue(), At(61'000));
  metrics_.Tick(At(61'000));
  EXPECT_THAT(Page(), Not(HasSubstr("job-1")));
  EXPECT_THAT(Page(), Not(HasSubstr("\npixelrec_loss ")));
  EXPECT_THAT(Page(), Not(HasSubstr("host_resident")));
  EXPECT_THAT(Page(), HasSubstr("\npixelrec_samples_total 64"));  // counters go on
  EXPECT_FALSE(metrics_.NextDue().has_value());
}

TEST_F(RunMetricsTest, TheNextRunTakesThePlaceOfTheLastAtOnce) {
  metrics_.OnStarted({"job-1", 1, 0});
  Step(10, 4.5);
  metrics_.OnEnded(At(0));
  metrics_.OnStarted({"job-1", 2, 0});
  EXPECT_THAT(Page(), Not(HasSubstr("generation=\"1\"")));
  EXPECT_THAT(Page(), Not(HasSubstr("\npixelrec_loss ")));
  metrics_.Tick(At(100'000));
  EXPECT_THAT(Page(), HasSubstr("generation=\"2\""));
}

TEST_F(RunMetricsTest, EvaluationsByNameAndCutOff) {
  metrics_.OnStarted({"j", 1, 0});
  v1::TrainerReport report;
  report.mutable_epoch_result()->set_validation_loss(4.75);
  v1::MetricAtK& at = *report.mutable_epoch_result()->mutable_validation()->add_at();
  at.set_k(10);
  at.set_recall(0.125);
  at.set_ndcg(0.0625);
  metrics_.OnReport(report, At(0), 1);
  EXPECT_THAT(Page(), HasSubstr("pixelrec_eval_metric{k=\"10\",name=\"validation_recall\"} 0.125"));
  EXPECT_THAT(Page(), HasSubstr("pixelrec_eval_metric{k=\"10\",name=\"validation_ndcg\"} 0.0625"));
  EXPECT_THAT(Page(), HasSubstr("pixelrec_eval_metric{k=\"0\",name=\"validation_loss\"} 4.75"));
  metrics_.OnEnded(At(0));
  metrics_.Tick(At(100'000));
  EXPECT_THAT(Page(), Not(HasSubstr("validation_recall")));
}

TEST_F(RunMetricsTest, CheckpointsInThreePhases) {
  metrics_.OnStarted({"j", 1, 0});
  v1::TrainerReport report;
  v1::Artifact& artifact = *report.mutable_artifact_staged();
  artifact.set_path("/out/checkpoint-epoch-1");
  artifact.set_write_seconds(2);
  artifact.set_bytes(4096);
  metrics_.OnReport(report, At(0), 1);
  metrics_.OnCommitOrdered(artifact, At(300));
  metrics_.OnCommitOrdered(artifact, At(900));  // repeated: not counted again
  metrics_.OnPublished(artifact, 0.01, 777);
  metrics_.OnPublishFailed("disk_full");
  const std::string page = Page();
  EXPECT_THAT(page, HasSubstr("pixelrec_checkpoint_duration_seconds_sum{phase=\"write\"} 2"));
  EXPECT_THAT(page, HasSubstr("pixelrec_checkpoint_duration_seconds_sum{phase=\"commit\"} 0.3"));
  EXPECT_THAT(page, HasSubstr("pixelrec_checkpoint_duration_seconds_count{phase=\"publish\"} 1"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_checkpoint_last_success_timestamp_seconds 777"));
  EXPECT_THAT(page, HasSubstr("\npixelrec_checkpoint_bytes 4096"));
  EXPECT_THAT(page, HasSubstr("pixelrec_checkpoint_failures_total{reason=\"disk_full\"} 1"));
  EXPECT_THAT(page, HasSubstr("pixelrec_checkpoint_failures_total{reason=\"unwritable\"} 0"));
}

TEST_F(RunMetricsTest, ATrainerThatCountsBackwardsDoesNoHarm) {
  metrics_.OnStarted({"j", 1, 0});
  v1::TrainerReport report;
  report.mutable_step_timings()->set_samples(-5);
  metrics_.OnReport(report, At(0), 1);
  EXPECT_THAT(Page(), HasSubstr("\npixelrec_samples_total 0"));
}

}  // namespace
}  // namespace pixelrec::agent
