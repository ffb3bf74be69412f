// What users do to jobs and workers that are there already: cancel, pause, resume, delete, drain.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "tests/ctl/served_ctl.h"

namespace pixelrec::ctl {
namespace {

using JobControl = ServedCtl;

TEST_F(JobControl, CancelSaysSo) {
  service_.cancel = [](const v1::CancelJobRequest& request) -> absl::StatusOr<v1::CancelJobResponse> {
    if (request.job() == "ended")
      return rpc::Refuse(absl::StatusCode::kFailedPrecondition, rpc::kJobEnded, "job ended has ended already");
    EXPECT_TRUE(request.now());
    v1::CancelJobResponse response;
    *response.mutable_job() = SampleJob();
    return response;
  };
  EXPECT_EQ(Run({"cancel", "quickstart", "--now"}).output, "job quickstart-1a2b is being cancelled (RUNNING)\n");
  EXPECT_EQ(Run({"cancel", "ended"}).exit_code, 4);
}

TEST_F(JobControl, PauseAndResumeSaySo) {
  service_.pause = [](const v1::PauseJobRequest& request) -> absl::StatusOr<v1::PauseJobResponse> {
    if (request.job() == "ended")
      return rpc::Refuse(absl::StatusCode::kFailedPrecondition, rpc::kJobEnded, "it has ended already");
    EXPECT_TRUE(absl::StartsWith(request.request_id(), "ctl-"));
    v1::PauseJobResponse response;
    *response.mutable_job() = SampleJob();
    response.mutable_job()->set_state(request.now() ? v1::JOB_STATE_PAUSED : v1::JOB_STATE_RUNNING);
    return response;
  };
  service_.resume = [](const v1::ResumeJobRequest& request) -> absl::StatusOr<v1::ResumeJobResponse> {
    EXPECT_TRUE(absl::StartsWith(request.request_id(), "ctl-"));
    v1::ResumeJobResponse response;
    *response.mutable_job() = SampleJob();
    response.mutable_job()->set_state(v1::JOB_STATE_PENDING);
    response.mutable_job()->set_reason("needs 2 workers; 1 idle");
    return response;
  };
  const std::string go_on = "\n  go on: pixelrecctl resume quickstart-1a2b\n";
  EXPECT_EQ(Run({"pause", "quickstart"}).output, "job quickstart-1a2b is being paused (RUNNING)" + go_on);
  EXPECT_EQ(Run({"pause", "quickstart", "--now"}).output, "job quickstart-1a2b is paused" + go_on);
  EXPECT_TRUE(absl::StrContains(Run({"pause", "quickstart", "--now", "-o", "json"}).output, "\"state\": \"JOB_STATE_PAUSED\""));
  EXPECT_EQ(Run({"pause", "ended"}).exit_code, 4);
  EXPECT_EQ(Run({"resume", "quickstart"}).output, "job quickstart-1a2b is resumed (PENDING: needs 2 workers; 1 idle)\n");
  EXPECT_EQ(Run({"resume"}).exit_code, 2);
}

TEST_F(JobControl, DeleteSaysWhereTheFilesAre) {
  service_.remove = [](const v1::DeleteJobRequest& request) -> absl::StatusOr<v1::DeleteJobResponse> {
    if (request.job() == "nothing") return FakeJobService::NotFound();
    if (request.job() == "runs") return rpc::Refuse(absl::StatusCode::kFailedPrecondition, rpc::kJobNotEnded, "cancel it first");
    EXPECT_TRUE(absl::StartsWith(request.request_id(), "ctl-"));
    v1::DeleteJobResponse response;
    response.set_job_id("quickstart-1a2b");
    response.set_output_dir("/results/quickstart");
    return response;
  };
  const CtlRun run = Run({"delete", "quickstart"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output, "job quickstart-1a2b is deleted; its files stay in /results/quickstart\n");
  EXPECT_EQ(Run({"delete", "quickstart", "-o", "yaml"}).output,
            "job_id: \"quickstart-1a2b\"\noutput_dir: \"/results/quickstart\"\n");
  EXPECT_EQ(Run({"delete", "nothing"}).exit_code, 3);
  EXPECT_EQ(Run({"delete", "runs"}).output, "error: cancel it first\n");
  EXPECT_EQ(Run({"delete", "runs"}).exit_code, 4);
}

TEST_F(JobControl, WorkersAreDrainedAndUndrained) {
  service_.drain = [](const v1::DrainWorkerRequest& request) -> absl::StatusOr<v1::DrainWorkerResponse> {
    if (request.worker_id() == "w9") return rpc::Refuse(absl::StatusCode::kNotFound, rpc::kWorkerNotFound, "no worker 'w9'");
    v1::DrainWorkerResponse response;
    v1::Worker& worker = *response.mutable_worker();
    worker.set_worker_id(request.worker_id());
    worker.set_drain_mode(request.mode());
    worker.set_state(request.worker_id() == "w1" ? v1::WORKER_STATE_DRAINING : v1::WORKER_STATE_DRAINED);
    if (request.worker_id() == "w1") worker.set_job_id("a-1");
    return response;
  };
  service_.undrain = [](const v1::UndrainWorkerRequest& request) -> absl::StatusOr<v1::UndrainWorkerResponse> {
    v1::UndrainWorkerResponse response;
    response.mutable_worker()->set_worker_id(request.worker_id());
    response.mutable_worker()->set_state(v1::WORKER_STATE_IDLE);
    return response;
  };
  service_.workers = [](const v1::ListWorkersRequest&) -> absl::StatusOr<v1::ListWorkersResponse> {
    v1::ListWorkersResponse response;
    response.add_workers()->set_worker_id("w1");
    response.mutable_workers(0)->set_state(v1::WORKER_STATE_DRAINING);
    response.add_workers()->set_worker_id("w2");
    response.mutable_workers(1)->set_state(v1::WORKER_STATE_DRAINED);
    return response;
  };
  EXPECT_EQ(Run({"workers", "drain", "w1"}).output,
            "worker w1 is being drained: it still runs rank 0 of job a-1, which stops with a checkpoint and goes on elsewhere\n");
  EXPECT_EQ(Run({"workers", "drain", "w1", "--let-jobs-finish"}).output,
            "worker w1 is being drained: it still runs rank 0 of job a-1, to its end\n");
  EXPECT_EQ(Run({"workers", "drain", "w2"}).output, "worker w2 is drained: nothing runs there\n");
  EXPECT_TRUE(absl::StrContains(Run({"workers", "drain", "w2", "--let-jobs-finish", "-o", "json"}).output,
                                "\"drain_mode\": \"DRAIN_MODE_LET_JOBS_FINISH\""));
  EXPECT_EQ(Run({"workers", "undrain", "w1"}).output, "worker w1 gets ranks again\n");
  EXPECT_EQ(Run({"workers", "drain", "w9"}).exit_code, 3);
  EXPECT_EQ(Run({"workers", "drain"}).exit_code, 2);
  EXPECT_EQ(Run({"workers"}).exit_code, 2);
  const std::string list = Run({"workers", "list"}).output;
  EXPECT_TRUE(absl::StrContains(list, "w1      DRAINING") && absl::StrContains(list, "w2      DRAINED")) << list;
}

// A paused job is waited for.
TEST_F(JobControl, WatchGoesOnOverAPause) {
  service_.watch = [](const v1::WatchJobRequest&, grpc::ServerContext&, FakeJobService::WatchWriter& writer) {
    const auto say = [&](const std::string& event, const v1::Job& job) {
      v1::WatchJobResponse update;
      *update.mutable_job() = job;
      *update.mutable_event() = FromText<v1::JobEvent>(event);
      writer.Write(update);
    };
    v1::Job paused = SampleJob();
    paused.set_state(v1::JOB_STATE_PAUSED);
    say("sequence: 1 time { seconds: 1764000000 } state_change { to: JOB_STATE_PAUSED reason: 'paused by the user' }", paused);
    say("sequence: 2 time { seconds: 1764000060 } state_change { to: JOB_STATE_PENDING reason: 'resumed' }", SampleJob());
    say("sequence: 3 time { seconds: 1764000120 } state_change { to: JOB_STATE_SUCCEEDED reason: 'done' }", FinishedJob());
    return absl::OkStatus();
  };
  const CtlRun run = Run({"watch", "quickstart"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_TRUE(absl::StartsWith(run.output,
                               "16:00:00  PAUSED: paused by the user\n16:01:00  PENDING: resumed\n16:02:00  SUCCEEDED: done\n"))
      << run.output;
}

}  // namespace
}  // namespace pixelrec::ctl
