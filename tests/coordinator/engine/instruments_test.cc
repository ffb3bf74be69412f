#include "coordinator/engine/instruments.h"

#include <gtest/gtest.h>

#include "coordinator/state/step.h"

namespace pixelrec::coordinator {
namespace {

class InstrumentsTest : public ::testing::Test {
 protected:
  void Step(const Event& event) {
    now_.wall += std::chrono::seconds(1);
    now_.steady += std::chrono::seconds(1);
    const Outcome outcome = coordinator::Step(state_, event, now_);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    instruments_.Stepped(state_, event, outcome, now_);
    state_.Accept();
  }
  void Report(v1::RankReport report) {
    report.set_job_id("a-1");
    report.set_generation(state_.jobs.at(1).job().generation());
    report.set_sequence(++sequence_);
    Step(RankReported{"w1", 1, report});
  }

  // The value of the series with these label values, in the order of their names; -1 where there is none.
  double Value(const std::string& family, const std::map<std::string, std::string>& labels) {
    for (const prometheus::MetricFamily& f : registry_.Collect()) {
      for (const prometheus::ClientMetric& metric : f.metric) {
        std::map<std::string, std::string> found;
        for (const auto& label : metric.label) found[label.name] = label.value;
        if (f.name == family && found == labels) {
          switch (f.type) {
            case prometheus::MetricType::Counter:
              return metric.counter.value;
            case prometheus::MetricType::Histogram:
              return static_cast<double>(metric.histogram.sample_count);
            default:
              return metric.gauge.value;
          }
        }
      }
    }
    return -1;
  }

  prometheus::Registry registry_;
  State state_{Policy()};
  Instruments instruments_{registry_};
  Now now_{std::chrono::seconds(1767225600), std::chrono::seconds(1000)};
  uint64_t sequence_ = 0;
};

TEST_F(InstrumentsTest, FollowAJobThroughItsLife) {
  Submit submit;
  submit.spec.set_name("a");
  submit.spec.set_output_dir("/results/a");
  Step(submit);
  EXPECT_EQ(Value("pixelrec_jobs", {{"state", "PENDING"}}), 1);
  EXPECT_EQ(Value("pixelrec_job_info", {{"job_id", "a-1"}, {"name", "a"}, {"output_dir", "/results/a"}}), 1);

  Step(WorkerRegistered{"w1", 1, 1, {}});
  EXPECT_EQ(Value("pixelrec_jobs", {{"state", "PENDING"}}), 0);
  EXPECT_EQ(Value("pixelrec_jobs", {{"state", "PREPARING"}}), 1);
  EXPECT_EQ(Value("pixelrec_workers", {{"state", "BUSY"}}), 1);
  EXPECT_EQ(Value("pixelrec_workers", {{"state", "IDLE"}}), 0);
  EXPECT_EQ(Value("pixelrec_job_queue_wait_seconds", {}), 1);
  EXPECT_EQ(Value("pixelrec_job_state_transitions_total", {{"to", "PREPARING"}, {"cause", "none"}}), 1);

  Step(WorkerBeat{"w1", 1, 1});
  EXPECT_EQ(Value("pixelrec_worker_last_heartbeat_timestamp_seconds", {{"worker", "w1"}}),
            std::chrono::duration<double>(now_.wall).count());

  v1::RankReport report;
  report.mutable_trainer()->mutable_dataset_prepared()->set_data_hash("h");
  Report(report);
  report.mutable_exited();
  Report(report);
  sequence_ = 0;
  report.mutable_trainer()->mutable_training_started();
  Report(report);
  report.mutable_trainer()->mutable_progress()->set_step(25);
  report.mutable_trainer()->mutable_progress()->set_total_steps(100);
  report.mutable_trainer()->mutable_progress()->set_eta_seconds(30);
  Report(report);
  EXPECT_EQ(Value("pixelrec_job_progress_ratio", {{"job_id", "a-1"}}), 0.25);
  EXPECT_EQ(Value("pixelrec_job_eta_seconds", {{"job_id", "a-1"}}), 30);

  report.mutable_exited()->set_exit_code(1);
  Report(report);
  EXPECT_EQ(Value("pixelrec_job_restarts_total", {{"job_id", "a-1"}, {"cause", "INTERNAL"}}), 1);
  EXPECT_EQ(Value("pixelrec_job_state_transitions_total", {{"to", "RECOVERING"}, {"cause", "INTERNAL"}}), 1);
  EXPECT_EQ(Value("pixelrec_job_recovery_seconds", {}), 0);
  sequence_ = 0;
  report.mutable_trainer()->mutable_training_started();
  Report(report);
  EXPECT_EQ(Value("pixelrec_job_recovery_seconds", {}), 1);

  Step(Cancel{"a", true, ""});
  report.mutable_exited()->set_signal(9);
  Report(report);
  EXPECT_EQ(Value("pixelrec_jobs", {{"state", "CANCELLED"}}), 1);
  EXPECT_EQ(Value("pixelrec_jobs", {{"state", "RUNNING"}}), 0);
  // The job's own series end with it.
  EXPECT_EQ(Value("pixelrec_job_info", {{"job_id", "a-1"}, {"name", "a"}, {"output_dir", "/results/a"}}), -1);
  EXPECT_EQ(Value("pixelrec_job_progress_ratio", {{"job_id", "a-1"}}), -1);
  EXPECT_EQ(Value("pixelrec_job_restarts_total", {{"job_id", "a-1"}, {"cause", "INTERNAL"}}), -1);
}

TEST_F(InstrumentsTest, CountPreemptionsDrainedWorkersAndForgetDeletedJobs) {
  Submit submit;
  submit.spec.set_name("a");
  submit.spec.set_output_dir("/results/a");
  Step(submit);
  Step(WorkerRegistered{"w1", 1, 1, {}});
  submit.spec.set_name("b");
  submit.spec.set_output_dir("/results/b");
  submit.spec.mutable_scheduling()->set_priority(9);
  Step(submit);
  v1::RankReport report;
  report.mutable_exited()->set_signal(9);
  Report(report);
  EXPECT_EQ(Value("pixelrec_job_preemptions_total", {}), 1);
  EXPECT_EQ(Value("pixelrec_jobs", {{"state", "PENDING"}}), 1);

  Step(DrainWorker{"w1", v1::DRAIN_MODE_LET_JOBS_FINISH, ""});
  EXPECT_EQ(Value("pixelrec_workers", {{"state", "DRAINING"}}), 1);
  EXPECT_EQ(Value("pixelrec_workers", {{"state", "BUSY"}}), 0);

  Step(Cancel{"a", true, ""});
  EXPECT_EQ(Value("pixelrec_jobs", {{"state", "CANCELLED"}}), 1);
  Step(DeleteJob{"a", ""});
  EXPECT_EQ(Value("pixelrec_jobs", {{"state", "CANCELLED"}}), 0);
}

TEST_F(InstrumentsTest, CountAgainAfterARestart) {
  Submit submit;
  submit.spec.set_name("a");
  Step(submit);
  submit.spec.set_name("b");
  submit.spec.set_output_dir("/b");
  Step(submit);
  Step(Cancel{"b", true, ""});

  prometheus::Registry fresh;
  Instruments after(fresh);
  after.Replayed(state_);
  double pending = -1, cancelled = -1;
  for (const prometheus::MetricFamily& family : fresh.Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      if (family.name == "pixelrec_jobs" && metric.label[0].value == "PENDING") pending = metric.gauge.value;
      if (family.name == "pixelrec_jobs" && metric.label[0].value == "CANCELLED") cancelled = metric.gauge.value;
    }
  }
  EXPECT_EQ(pending, 1);
  EXPECT_EQ(cancelled, 1);
}

}  // namespace
}  // namespace pixelrec::coordinator
