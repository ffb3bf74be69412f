// Pausing, resuming and deleting jobs, draining workers, over real gRPC and over restarts of the coordinator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/fake_worker.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

class JobControlTest : public ::testing::Test {
 protected:
  JobControlTest() { Restart(); }
  void Restart() {
    coordinator_.reset();
    coordinator_ = std::make_unique<TestCoordinator>(dir_.path());
  }
  v1::Job Submit(const std::string& name) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec(name, 1);
    v1::Job job;
    EXPECT_TRUE(coordinator_->Submit(request, &job).ok());
    return job;
  }
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::JobService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    return rpc::FromGrpc((coordinator_->stub().*method)(TestCoordinator::Context().get(), request, response));
  }
  absl::Status Pause(const std::string& job, const std::string& request_id = "") {
    v1::PauseJobRequest request;
    request.set_job(job);
    request.set_request_id(request_id);
    v1::PauseJobResponse response;
    const absl::Status status = Call(&v1::JobService::Stub::PauseJob, request, &response);
    job_ = response.job();
    return status;
  }
  absl::Status Resume(const std::string& job, const std::string& request_id = "") {
    v1::ResumeJobRequest request;
    request.set_job(job);
    request.set_request_id(request_id);
    v1::ResumeJobResponse response;
    const absl::Status status = Call(&v1::JobService::Stub::ResumeJob, request, &response);
    job_ = response.job();
    return status;
  }
  absl::Status Delete(const std::string& job, const std::string& request_id = "") {
    v1::DeleteJobRequest request;
    request.set_job(job);
    request.set_request_id(request_id);
    return Call(&v1::JobService::Stub::DeleteJob, request, &deleted_);
  }
  absl::Status Drain(const std::string& worker, v1::DrainMode mode = v1::DRAIN_MODE_UNSPECIFIED,
                     const std::string& request_id = "") {
    v1::DrainWorkerRequest request;
    request.set_worker_id(worker);
    request.set_mode(mode);
    request.set_request_id(request_id);
    v1::DrainWorkerResponse response;
    const absl::Status status = Call(&v1::JobService::Stub::DrainWorker, request, &response);
    worker_ = response.worker();
    return status;
  }
  absl::Status Undrain(const std::string& worker) {
    v1::UndrainWorkerRequest request;
    request.set_worker_id(worker);
    v1::UndrainWorkerResponse response;
    const absl::Status status = Call(&v1::JobService::Stub::UndrainWorker, request, &response);
    worker_ = response.worker();
    return status;
  }

  TemporaryFolder dir_;
  std::unique_ptr<TestCoordinator> coordinator_;
  v1::Job job_;
  v1::Worker worker_;
  v1::DeleteJobResponse deleted_;
};

TEST_F(JobControlTest, PauseAndResumeAreDurableAndRepeatable) {
  Submit("a");
  ASSERT_TRUE(Pause("a", "p1").ok());
  EXPECT_EQ(job_.state(), v1::JOB_STATE_PAUSED);
  Restart();
  EXPECT_EQ(coordinator_->Get("a").state(), v1::JOB_STATE_PAUSED);
  ASSERT_TRUE(Pause("a", "p1").ok());
  ASSERT_TRUE(Resume("a", "r1").ok());
  EXPECT_EQ(job_.state(), v1::JOB_STATE_PENDING);
  Restart();
  // The repeats of what had its effect have none.
  ASSERT_TRUE(Pause("a", "p1").ok());
  EXPECT_EQ(job_.state(), v1::JOB_STATE_PENDING);
  ASSERT_TRUE(Resume("a", "r1").ok());
  const absl::Status refused = Resume("a", "r2");
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(rpc::ReasonOf(refused), rpc::kJobNotPaused);
}

TEST_F(JobControlTest, ARunningJobIsPausedThroughACheckpointAndGoesOnFromIt) {
  FakeWorker worker("w1", 1);
  worker.Connect(coordinator_->address());
  Submit("a");
  worker.NextStart();
  worker.Report(Prepared("h"));
  worker.Exit(0);
  worker.NextStart();
  worker.Report(Hello(1));
  worker.Report(Started());
  worker.Report(ProgressAt(6));
  worker.AwaitAck(3);
  ASSERT_TRUE(Pause("a").ok());
  EXPECT_EQ(job_.state(), v1::JOB_STATE_RUNNING);
  const v1::SessionResponse stop = worker.Next();
  ASSERT_TRUE(stop.has_stop_rank());
  EXPECT_TRUE(stop.stop_rank().stop().checkpoint());
  worker.Report(Staged(v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT, "/results/a/recovery/step-7", 7));
  const v1::SessionResponse commit = worker.Next();
  ASSERT_TRUE(commit.has_commit_artifact());
  worker.Published(commit.commit_artifact().artifact());
  worker.Exit(0);
  worker.AwaitAck(6);
  EXPECT_EQ(coordinator_->Get("a").state(), v1::JOB_STATE_PAUSED);
  ASSERT_TRUE(Resume("a").ok());
  EXPECT_EQ(worker.NextStart().plan().resume_from().step(), 7);
}

TEST_F(JobControlTest, WhatIsNotThereOrNotRightIsRefusedWithAReason) {
  for (const absl::Status& status : {Pause("x"), Resume("x"), Delete("x")}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(rpc::ReasonOf(status), rpc::kJobNotFound);
  }
  for (const absl::Status& status : {Drain("x"), Undrain("x")}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(rpc::ReasonOf(status), rpc::kWorkerNotFound);
  }
  FakeWorker worker("w1", 1);
  worker.Connect(coordinator_->address());
  EXPECT_EQ(Drain("w1", static_cast<v1::DrainMode>(17)).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Drain("w1").ok());
  Submit("a");
  const absl::Status live = Delete("a");
  EXPECT_EQ(live.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(rpc::ReasonOf(live), rpc::kJobNotEnded);
  EXPECT_THAT(std::string(live.message()), ::testing::HasSubstr("cancel it first"));
  ASSERT_TRUE(coordinator_->Cancel("a", false).ok());
  for (const absl::Status& status : {Pause("a"), Resume("a")}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(rpc::ReasonOf(status), rpc::kJobEnded);
  }
}

TEST_F(JobControlTest, ADeletedJobIsGoneAndARepeatStillSaysWhereItsFilesAre) {
  Submit("a");
  ASSERT_TRUE(coordinator_->Cancel("a", true).ok());
  ASSERT_TRUE(Delete("a", "x1").ok());
  EXPECT_EQ(deleted_.job_id(), "a-1");
  EXPECT_EQ(deleted_.output_dir(), "/results/a");
  Restart();
  deleted_.Clear();
  ASSERT_TRUE(Delete("a", "x1").ok());
  EXPECT_EQ(deleted_.output_dir(), "/results/a");
  EXPECT_EQ(Delete("a", "x2").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Submit("a").job_id(), "a-2") << "an id isn't used twice";
}

TEST_F(JobControlTest, WhoWatchesADeletedJobIsTold) {
  Submit("a");
  ASSERT_TRUE(coordinator_->Cancel("a", true).ok());
  ASSERT_TRUE(Delete("a").ok());
  v1::WatchJobRequest request;
  request.set_job("a");
  auto context = TestCoordinator::Context();
  auto stream = coordinator_->stub().WatchJob(context.get(), request);
  v1::WatchJobResponse news;
  EXPECT_FALSE(stream->Read(&news));
  EXPECT_EQ(rpc::ReasonOf(rpc::FromGrpc(stream->Finish())), rpc::kJobNotFound);
}

TEST_F(JobControlTest, ADrainedWorkerStaysDrainedUntilItIsUndrained) {
  {
    FakeWorker worker("w1", 1);
    worker.Connect(coordinator_->address());
    ASSERT_TRUE(Drain("w1", v1::DRAIN_MODE_UNSPECIFIED, "d1").ok());
    EXPECT_EQ(worker_.state(), v1::WORKER_STATE_DRAINED);
    EXPECT_EQ(worker_.drain_mode(), v1::DRAIN_MODE_MOVE_JOBS);
  }
  Restart();
  FakeWorker again("w1", 2);
  again.Connect(coordinator_->address());
  Submit("a");
  EXPECT_EQ(coordinator_->Get("a").reason(), "needs 1 worker; 0 idle, 1 drained");
  ASSERT_TRUE(Undrain("w1").ok());
  EXPECT_EQ(again.NextStart().job_id(), "a-1");
  ASSERT_TRUE(Drain("w1", v1::DRAIN_MODE_UNSPECIFIED, "d1").ok());
  EXPECT_EQ(worker_.state(), v1::WORKER_STATE_BUSY) << "the repeat of an old request";
  ASSERT_TRUE(Drain("w1", v1::DRAIN_MODE_LET_JOBS_FINISH, "d2").ok());
  EXPECT_EQ(worker_.state(), v1::WORKER_STATE_DRAINING);
  EXPECT_EQ(worker_.job_id(), "a-1");
}

}  // namespace
}  // namespace pixelrec::coordinator
