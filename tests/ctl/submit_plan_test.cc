// `pixelrecctl submit --plan` as users meet it: a coordinator and a trainer whose answers the test decides.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/ctl/ctl_process.h"
#include "tests/ctl/fake_job_service.h"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {
namespace {

using testing::HasSubstr;

constexpr char kPlan[] = R"({"job": "demo", "workers": 1, "global_batch_size": 4,
  "data": {"prepared": false, "data_hash": "h", "samples": 9, "items": 8},
  "steps": {"per_epoch": 3, "total": 15, "exact": true},
  "tokens": {"per_step": 100, "largest_micro_step_of_a_rank": 100, "steps_drawn": 0},
  "parameters": 1000, "compute_type": "fp32", "checkpoint_bytes": 12000, "program_bytes": 1000000,
  "stages": [{"chosen": true, "item_zero_stage": 0, "user_zero_stage": 0, "gradient_checkpointing": true, "weights": 4000,
    "masters": 0, "gradients": 4000, "moments": 8000, "buffers": 0, "activations": 5000, "collectives": 0,
    "checkpoint_copy": 12000, "evaluation": 100, "best_model": 0, "peak": 33000}],
  "worlds": []})";

class SubmitPlan : public CtlProcess {
 protected:
  void SetUp() override {
    CtlProcess::SetUp();
    service_.submit = [this](const v1::SubmitJobRequest& request) -> absl::StatusOr<v1::SubmitJobResponse> {
      EXPECT_TRUE(request.validate_only());
      ++checks_;
      v1::SubmitJobResponse response;
      *response.mutable_job()->mutable_spec() = request.spec();
      return response;
    };
    service_.workers = [this](const v1::ListWorkersRequest&) -> absl::StatusOr<v1::ListWorkersResponse> { return workers_; };
    server_ = service_.Serve();
    Trainer(std::string("cat <<'PLAN'\n") + kPlan + "\nPLAN\n");
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop(std::chrono::milliseconds(0));
    CtlProcess::TearDown();
  }

  // What stands in for pixelrec-trainer.
  void Trainer(const std::string& body) {
    const std::string script = Write("trainer.sh", "#!/bin/sh\n" + body);
    std::filesystem::permissions(script, std::filesystem::perms::owner_all);
    extra_environment_ = {"PIXELREC_SERVER=" + server_->address(), "PIXELREC_TRAINER=" + script};
  }
  void OneWorker(int64_t memory_bytes) {
    v1::Worker* worker = workers_.add_workers();
    worker->set_state(v1::WORKER_STATE_IDLE);
    worker->set_host("box");
    worker->set_memory_bytes(memory_bytes);
  }

  int checks_ = 0;
  v1::ListWorkersResponse workers_;
  FakeJobService service_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_F(SubmitPlan, PrintsThePlanAndSubmitsNothing) {
  OneWorker(8'000'000'000);
  const CtlRun run = Run({"submit", JobFile(), "--plan"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(checks_, 1);
  EXPECT_THAT(run.output, HasSubstr("job demo: 1 worker, 4 users a step\n"));
  EXPECT_THAT(run.output, HasSubstr("fits         yes: 1 rank needs 1.0 MB each; there are box (1 worker, 8.0 GB)"));
  EXPECT_THAT(run.output, HasSubstr("  *  0     yes"));
}

TEST_F(SubmitPlan, GivesTheTrainerTheWholeSpec) {
  Trainer("cat \"$3\" > " + (dir_ / "spec.json").string() + "\nprintf '%s ' \"$@\" > " + (dir_ / "arguments").string() +
          "\ncat <<'PLAN'\n" + kPlan + "\nPLAN\n");
  EXPECT_EQ(Run({"submit", JobFile(), "--plan", "--set", "train.seed=77"}).exit_code, 0);
  const auto content = [&](const char* name) {
    std::ifstream in(dir_ / name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_THAT(content("spec.json"), HasSubstr("\"seed\": \"77\""));
  EXPECT_THAT(content("arguments"), HasSubstr("--dataset-cache-dir " + (dir_ / "cache/datasets").string()));
}

TEST_F(SubmitPlan, JsonAndYamlCarryTheVerdict) {
  OneWorker(8'000'000'000);
  const CtlRun json = Run({"submit", JobFile(), "--plan", "-o", "json"});
  EXPECT_EQ(json.exit_code, 0);
  EXPECT_THAT(json.output, HasSubstr("\"verdict\": \"yes\""));
  EXPECT_THAT(json.output, HasSubstr("\"checkpoint_bytes\": 12000"));
  EXPECT_THAT(Run({"submit", JobFile(), "--plan", "-o", "yaml"}).output, HasSubstr("verdict: \"yes\""));
}

TEST_F(SubmitPlan, WhatCannotFitExitsWith4) {
  OneWorker(500'000);
  const CtlRun run = Run({"submit", JobFile(), "--plan"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output,
              HasSubstr("error: the job doesn't fit: 1 rank needs 1.0 MB each; there are box (1 worker, 500 kB), with "
                        "room for 0; no stage and no number of workers"));
}

TEST_F(SubmitPlan, WithoutACoordinatorItPlansAndSaysWhatIsNotKnown) {
  server_->Stop(std::chrono::milliseconds(0));
  const CtlRun run = Run({"submit", JobFile(), "--plan"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("neither its checks of the job nor its workers' memory are known"));
  EXPECT_THAT(run.output, HasSubstr("fits         unknown: no worker is known"));
}

TEST_F(SubmitPlan, WhatTheCoordinatorRefusesIsPlacedInTheFile) {
  service_.submit = [](const v1::SubmitJobRequest&) -> absl::StatusOr<v1::SubmitJobResponse> {
    return absl::InvalidArgumentError("spec.output_dir: outside the roots");
  };
  const CtlRun run = Run({"submit", JobFile(), "--plan"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("job.yaml:5:"));
}

TEST_F(SubmitPlan, TheTrainersRefusalIsOneErrorWithItsCode) {
  Trainer("echo 'error: m/config.json: hidden_size: missing' >&2; exit 4\n");
  CtlRun run = Run({"submit", JobFile(), "--plan"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_EQ(run.output, "error: m/config.json: hidden_size: missing\n");
  Trainer("echo 'error: nothing there' >&2; exit 3\n");
  EXPECT_EQ(Run({"submit", JobFile(), "--plan"}).exit_code, 3);
  Trainer("exit 9\n");
  run = Run({"submit", JobFile(), "--plan"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, HasSubstr("trainer.sh failed: no message"));
  Trainer("echo not json\n");
  EXPECT_THAT(Run({"submit", JobFile(), "--plan"}).output, HasSubstr("the trainer's plan is not JSON"));
}

TEST_F(SubmitPlan, IsNotToBeFollowed) {
  EXPECT_EQ(Run({"submit", JobFile(), "--plan", "--follow"}).exit_code, 2);
  EXPECT_EQ(Run({"submit", JobFile(), "--plan", "--wait"}).exit_code, 2);
}

TEST_F(SubmitPlan, ABadJobOrAMissingModelExitsWith4) {
  EXPECT_EQ(Run({"submit", JobFile(), "--plan", "--set", "distributed.workers=0"}).exit_code, 4);
  const std::string job = JobFile();
  std::filesystem::remove_all(dir_ / "m");
  const CtlRun run = Run({"submit", job, "--plan"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("spec.model.item_model_dir: no such directory"));
}

}  // namespace
}  // namespace pixelrec::ctl
