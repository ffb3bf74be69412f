// Plans as the trainer prints them: what fits, and what people read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "ctl/plan/fit.h"
#include "ctl/plan/job_plan.h"
#include "ctl/plan/plan_text.h"
#include "nlohmann/json.hpp"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {
namespace {

using testing::HasSubstr;
using Json = nlohmann::ordered_json;

constexpr int64_t kGb = 1'000'000'000;

Json StageJson(int stage, bool checkpointing, bool chosen, int64_t peak) {
  return {{"chosen", chosen},
          {"item_zero_stage", stage},
          {"user_zero_stage", stage},
          {"gradient_checkpointing", checkpointing},
          {"weights", 2 * kGb},
          {"masters", 0},
          {"gradients", 2 * kGb},
          {"moments", 4 * kGb},
          {"buffers", 0},
          {"activations", kGb},
          {"collectives", 0},
          {"checkpoint_copy", 6 * kGb},
          {"evaluation", 500'000'000},
          {"best_model", 0},
          {"peak", peak}};
}

Json PlanJson() {
  return {{"job", "big"},
          {"workers", 4},
          {"global_batch_size", 16},
          {"data", {{"prepared", true}, {"data_hash", "abc"}, {"samples", 7103}, {"items", 9674}}},
          {"steps", {{"per_epoch", 444}, {"total", 888}, {"exact", true}}},
          {"tokens", {{"per_step", 24936}, {"largest_micro_step_of_a_rank", 7001}, {"steps_drawn", 64}}},
          {"parameters", 500'000'000},
          {"compute_type", "fp32"},
          {"checkpoint_bytes", 6 * kGb},
          {"program_bytes", kGb},
          {"stages", {StageJson(0, true, true, 15 * kGb), StageJson(3, true, false, 5 * kGb)}},
          {"worlds",
           {{{"workers", 4}, {"zero_stage", 3}, {"peak", 5 * kGb}}, {{"workers", 8}, {"zero_stage", 3}, {"peak", 2 * kGb}}}}};
}

JobPlan Sample() {
  const auto plan = ParseJobPlan(PlanJson());
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

TEST(JobPlanTest, RefusesWhatIsNoPlan) {
  Json json = PlanJson();
  json["stages"] = {StageJson(3, true, false, 5)};
  EXPECT_THAT(ParseJobPlan(json).status().message(), HasSubstr("no stage that is the job's"));
  json = PlanJson();
  json.erase("parameters");
  EXPECT_THAT(ParseJobPlan(json).status().message(), HasSubstr("parameters"));
  json = PlanJson();
  json["workers"] = "four";
  EXPECT_FALSE(ParseJobPlan(json).ok());
  EXPECT_FALSE(ParseJobPlan(Json(7)).ok());
}

TEST(FitTest, WorkersOfOneMachineShareItsMemory) {
  const auto workers = FromText<v1::ListWorkersResponse>(R"pb(
    workers { worker_id: "a" state: WORKER_STATE_IDLE host: "box" memory_bytes: 64000000000 }
    workers { worker_id: "b" state: WORKER_STATE_BUSY host: "box" memory_bytes: 64000000000 }
    workers { worker_id: "c" state: WORKER_STATE_LOST host: "gone" memory_bytes: 64000000000 }
    workers { worker_id: "d" state: WORKER_STATE_IDLE host: "crate" memory_bytes: 32000000000 }
  )pb");
  const std::vector<Host> hosts = HostsOf(workers);
  ASSERT_EQ(hosts.size(), 2U);
  EXPECT_EQ(hosts[0].name, "box");
  EXPECT_EQ(hosts[0].workers, 2);
  EXPECT_EQ(hosts[0].memory_bytes, 64 * kGb);
  EXPECT_EQ(hosts[1].name, "crate");
}

TEST(FitTest, NobodyKnownNothingSaid) { EXPECT_EQ(Judge(Sample(), {}).fit, Fit::kUnknown); }

TEST(FitTest, FitsWhereverTheRanksGo) {
  // 15 GB and 1 GB of program each.
  EXPECT_EQ(Judge(Sample(), {{"a", 64 * kGb, 4}}).fit, Fit::kFits);
  EXPECT_EQ(Judge(Sample(), {{"a", 16 * kGb, 1}, {"b", 16 * kGb, 1}, {"c", 16 * kGb, 1}, {"d", 16 * kGb, 1}}).fit, Fit::kFits);
}

TEST(FitTest, MayFitWhereSomeMachinesAreTooSmallOrWorkersAreMissing) {
  EXPECT_EQ(Judge(Sample(), {{"a", 64 * kGb, 4}, {"b", 20 * kGb, 2}}).fit, Fit::kMayFit);
  const FitVerdict missing = Judge(Sample(), {{"a", 32 * kGb, 2}});
  EXPECT_EQ(missing.fit, Fit::kMayFit);
  EXPECT_THAT(missing.text, HasSubstr("aren't there yet"));
}

TEST(FitTest, NeverSaysWhichStageWouldFit) {
  const FitVerdict verdict = Judge(Sample(), {{"a", 40 * kGb, 4}});
  EXPECT_EQ(verdict.fit, Fit::kNever);
  EXPECT_EQ(verdict.text,
            "4 ranks need 16 GB each; there are a (4 workers, 40 GB), with room for 2; zero_stage 3 with gradient_checkpointing "
            "true fits: 6.0 GB a rank");
}

TEST(FitTest, NeverSaysHowManyWorkersWouldFit) {
  const FitVerdict verdict = Judge(Sample(), {{"a", 4 * kGb, 4}});
  EXPECT_EQ(verdict.fit, Fit::kNever);
  EXPECT_THAT(verdict.text, HasSubstr("with room for 0; 8 workers at zero_stage 3 need 3.0 GB a rank"));
  EXPECT_THAT(Judge(Sample(), {{"a", kGb, 4}}).text, HasSubstr("no stage and no number of workers"));
}

TEST(PlanTextTest, ShowsStagesAndMarksTheChosenOne) {
  v1::JobSpec spec;
  spec.set_name("big");
  spec.set_output_dir("/out");
  spec.mutable_train()->set_num_train_epochs(2);
  const std::string text = PlanText(spec, Sample(), {Fit::kFits, "there is room"}, 200 * kGb);
  EXPECT_EQ(
      text,
      "job big: 4 workers, 16 users a step\n"
      "  steps        444 an epoch, 888 in all (exact: the dataset is prepared)\n"
      "  tokens       24,936 a step, at most 7,001 in a rank's micro-step (of 64 steps of epoch 1)\n"
      "  parameters   500,000,000 trained, in fp32 on CPUs like this one's\n"
      "  checkpoints  6.0 GB each; all results 14 GB of 200 GB free in /out\n"
      "  fits         yes: there is room\n"
      "\n"
      "Bytes of one rank, the one that holds most (* as the job says; peak: what comes together at once):\n"
      "     ZERO  CHECKPOINTING  WEIGHTS  MASTERS  GRADIENTS  MOMENTS  BUFFERS  ACTIVATIONS  COLLECTIVES  CHECKPOINT COPY    "
      "PEAK\n"
      "  *  0     yes             2.0 GB      0 B     2.0 GB   4.0 GB      0 B       1.0 GB          0 B           6.0 GB   "
      "15 GB\n"
      "     3     yes             2.0 GB      0 B     2.0 GB   4.0 GB      0 B       1.0 GB          0 B           6.0 GB  "
      "5.0 GB\n"
      "\n"
      "  evaluation 500 MB and writing best_model 0 B come when no step runs; the program itself needs 1.0 GB more\n");
}

TEST(PlanTextTest, SaysWhatIsAnEstimate) {
  JobPlan plan = Sample();
  plan.prepared = plan.exact_steps = false;
  plan.steps_drawn = 0;
  v1::JobSpec spec;
  const std::string text = PlanText(spec, plan, {}, std::nullopt);
  EXPECT_THAT(text, HasSubstr("(estimate: from the first rows of interaction_data)"));
  EXPECT_THAT(text, HasSubstr("(bound: the dataset isn't prepared)"));
}

TEST(PlanTextTest, CountsRecoveryCheckpoints) {
  v1::JobSpec spec;
  spec.mutable_train()->set_num_train_epochs(3);
  EXPECT_EQ(ResultBytes(spec, Sample()), 20 * kGb);
  spec.mutable_checkpoint()->set_every_steps(10);
  spec.mutable_checkpoint()->set_keep(2);
  EXPECT_EQ(ResultBytes(spec, Sample()), 32 * kGb);
}

}  // namespace
}  // namespace pixelrec::ctl
