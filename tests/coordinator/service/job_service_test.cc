// JobService over real gRPC, without workers: submission, listing, errors and their reasons, watching.
#include "coordinator/service/job_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/fake_worker.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

class JobServiceTest : public ::testing::Test {
 protected:
  static TestCoordinator::Options MakeOptions() {
    TestCoordinator::Options options;
    options.service.roots = {"/data", "/models", "/results/"};
    return options;
  }
  absl::Status Submit(const v1::JobSpec& spec, const std::string& request_id = "", bool validate_only = false) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    request.set_validate_only(validate_only);
    return rpc::FromGrpc(coordinator_.Submit(request, &job_));
  }
  v1::ListJobsResponse List(const v1::ListJobsRequest& request) {
    v1::ListJobsResponse response;
    grpc::Status status = coordinator_.stub().ListJobs(TestCoordinator::Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  TemporaryFolder dir_;
  TestCoordinator coordinator_{dir_.path(), MakeOptions()};
  v1::Job job_;
};

TEST_F(JobServiceTest, FillsDefaultsAndGivesAnId) {
  ASSERT_TRUE(Submit(SmallSpec("a", 2)).ok());
  EXPECT_EQ(job_.job_id(), "a-1");
  EXPECT_EQ(job_.spec().scheduling().priority(), 50);
  EXPECT_EQ(job_.spec().distributed().min_workers(), 2);
  EXPECT_EQ(job_.spec().distributed().max_workers(), 2);
}

TEST_F(JobServiceTest, RefusesASpecWithTheFieldNamed) {
  v1::JobSpec spec = SmallSpec("a", 1);
  spec.mutable_train()->set_learning_rate(-1);
  const absl::Status status = Submit(spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rpc::ReasonOf(status), rpc::kSpecInvalid);
  EXPECT_NE(status.message().find("learning_rate"), std::string::npos) << status;
  EXPECT_EQ(List({}).jobs_size(), 0);
}

TEST_F(JobServiceTest, RefusesPathsOutsideTheRoots) {
  for (const char* path : {"/etc/passwd", "/data/../etc/passwd", "/database/x.csv", "/dataX"}) {
    v1::JobSpec spec = SmallSpec("a", 1);
    spec.mutable_data()->set_interaction_data(path);
    const absl::Status status = Submit(spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_NE(status.message().find("spec.data.interaction_data"), std::string::npos) << status;
  }
  v1::JobSpec inside = SmallSpec("a", 1);
  inside.mutable_data()->set_interaction_data("/data/x/../y.csv");
  EXPECT_TRUE(Submit(inside).ok());
}

TEST_F(JobServiceTest, ValidateOnlyStoresNothing) {
  ASSERT_TRUE(Submit(SmallSpec("a", 1), "", true).ok());
  EXPECT_EQ(job_.job_id(), "");
  EXPECT_EQ(job_.spec().scheduling().priority(), 50);
  EXPECT_EQ(List({}).jobs_size(), 0);
}

TEST_F(JobServiceTest, ARequestIdMakesARepeatReturnTheFirstAnswer) {
  ASSERT_TRUE(Submit(SmallSpec("a", 1), "r1").ok());
  ASSERT_TRUE(Submit(SmallSpec("a", 1), "r1").ok());
  EXPECT_EQ(job_.job_id(), "a-1");
  const absl::Status other = Submit(SmallSpec("b", 1), "r1");
  EXPECT_EQ(other.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(rpc::ReasonOf(other), rpc::kRequestIdReused);
  EXPECT_EQ(List({}).jobs_size(), 1);
}

TEST_F(JobServiceTest, AnOutputDirectoryHasOneLiveJobHoweverItIsSpelt) {
  ASSERT_TRUE(Submit(SmallSpec("a", 1)).ok());
  v1::JobSpec same = SmallSpec("b", 1);
  same.set_output_dir("/results/x/../a/");
  const absl::Status status = Submit(same);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(rpc::ReasonOf(status), rpc::kOutputDirInUse);
}

TEST_F(JobServiceTest, ListsNewestFirstPageByPage) {
  for (int i = 0; i < 7; ++i) {
    ASSERT_TRUE(Submit(SmallSpec("j" + std::to_string(i), 1)).ok());
  }
  ASSERT_TRUE(coordinator_.Cancel("j3", true).ok());
  v1::ListJobsRequest request;
  request.set_page_size(3);
  std::vector<std::string> names;
  int pages = 0;
  do {
    v1::ListJobsResponse page = List(request);
    for (const v1::Job& job : page.jobs()) names.push_back(job.spec().name());
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(names, ::testing::ElementsAre("j6", "j5", "j4", "j3", "j2", "j1", "j0"));

  v1::ListJobsRequest cancelled;
  cancelled.add_states(v1::JOB_STATE_CANCELLED);
  ASSERT_EQ(List(cancelled).jobs_size(), 1);
  EXPECT_EQ(List(cancelled).jobs(0).spec().name(), "j3");
}

TEST_F(JobServiceTest, RefusesPageTokensOfOthers) {
  for (const char* token : {"x", "0", "-1", "99999999999999999999999"}) {
    v1::ListJobsRequest request;
    request.set_page_token(token);
    v1::ListJobsResponse response;
    const absl::Status status = rpc::FromGrpc(coordinator_.stub().ListJobs(TestCoordinator::Context().get(), request, &response));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << token;
    EXPECT_EQ(rpc::ReasonOf(status), rpc::kBadPageToken);
  }
  v1::ListJobsRequest negative;
  negative.set_page_size(-1);
  v1::ListJobsResponse response;
  EXPECT_EQ(coordinator_.stub().ListJobs(TestCoordinator::Context().get(), negative, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(JobServiceTest, WhatIsNotThereIsNotFound) {
  auto check = [](const grpc::Status& grpc_status) {
    const absl::Status status = rpc::FromGrpc(grpc_status);
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(rpc::ReasonOf(status), rpc::kJobNotFound);
  };
  v1::GetJobRequest get;
  get.set_job("nope");
  v1::GetJobResponse got;
  check(coordinator_.stub().GetJob(TestCoordinator::Context().get(), get, &got));
  check(coordinator_.Cancel("nope", false));
  v1::ListJobEventsRequest events;
  v1::ListJobEventsResponse listed;
  check(coordinator_.stub().ListJobEvents(TestCoordinator::Context().get(), events, &listed));
  v1::ReadJobLogRequest log;
  v1::ReadJobLogResponse bytes;
  check(coordinator_.stub().ReadJobLog(TestCoordinator::Context().get(), log, &bytes));
  v1::WatchJobRequest watch;
  watch.set_job("nope");
  auto context = TestCoordinator::Context();
  auto stream = coordinator_.stub().WatchJob(context.get(), watch);
  v1::WatchJobResponse news;
  EXPECT_FALSE(stream->Read(&news));
  check(stream->Finish());
}

TEST_F(JobServiceTest, EventsArePagedBySequence) {
  ASSERT_TRUE(Submit(SmallSpec("a", 1)).ok());
  ASSERT_TRUE(coordinator_.Cancel("a", true).ok());
  v1::ListJobEventsRequest request;
  request.set_job("a");
  request.set_page_size(1);
  v1::ListJobEventsResponse first, second;
  ASSERT_TRUE(coordinator_.stub().ListJobEvents(TestCoordinator::Context().get(), request, &first).ok());
  ASSERT_EQ(first.events_size(), 1);
  EXPECT_EQ(first.next_after_sequence(), 1u);
  request.set_after_sequence(first.next_after_sequence());
  ASSERT_TRUE(coordinator_.stub().ListJobEvents(TestCoordinator::Context().get(), request, &second).ok());
  ASSERT_EQ(second.events_size(), 1);
  EXPECT_EQ(second.events(0).sequence(), 2u);
  EXPECT_EQ(second.next_after_sequence(), 0u);
}

TEST_F(JobServiceTest, WorkersArePaged) {
  std::vector<std::unique_ptr<FakeWorker>> workers;
  for (const char* id : {"w1", "w2", "w3"}) {
    workers.push_back(std::make_unique<FakeWorker>(id, 1));
    workers.back()->Connect(coordinator_.address());
  }
  v1::ListWorkersRequest request;
  request.set_page_size(2);
  v1::ListWorkersResponse response;
  ASSERT_TRUE(coordinator_.stub().ListWorkers(TestCoordinator::Context().get(), request, &response).ok());
  ASSERT_EQ(response.workers_size(), 2);
  EXPECT_EQ(response.workers(0).state(), v1::WORKER_STATE_IDLE);
  request.set_page_token(response.next_page_token());
  response.Clear();
  ASSERT_TRUE(coordinator_.stub().ListWorkers(TestCoordinator::Context().get(), request, &response).ok());
  ASSERT_EQ(response.workers_size(), 1);
  EXPECT_EQ(response.workers(0).worker_id(), "w3");
  EXPECT_EQ(response.next_page_token(), "");
}

TEST_F(JobServiceTest, WatchResumesAfterASequenceAndEndsWithTheJob) {
  ASSERT_TRUE(Submit(SmallSpec("a", 1)).ok());
  ASSERT_TRUE(coordinator_.Cancel("a", true).ok());
  for (uint64_t after : {0u, 1u, 2u, 99u}) {
    v1::WatchJobRequest request;
    request.set_job("a");
    request.set_after_sequence(after);
    auto context = TestCoordinator::Context();
    auto stream = coordinator_.stub().WatchJob(context.get(), request);
    v1::WatchJobResponse news;
    uint64_t expected = after;
    while (stream->Read(&news)) {
      EXPECT_EQ(news.event().sequence(), ++expected);
      EXPECT_TRUE(news.has_job());
    }
    EXPECT_TRUE(stream->Finish().ok());
    EXPECT_EQ(expected, std::max<uint64_t>(after, 2));
  }
}

TEST_F(JobServiceTest, TheStateOfAnOldEventIsTheStateOfThen) {
  ASSERT_TRUE(Submit(SmallSpec("a", 1)).ok());
  ASSERT_TRUE(coordinator_.Cancel("a", true).ok());
  v1::WatchJobRequest request;
  request.set_job("a");
  auto context = TestCoordinator::Context();
  auto stream = coordinator_.stub().WatchJob(context.get(), request);
  v1::WatchJobResponse news;
  ASSERT_TRUE(stream->Read(&news));
  EXPECT_EQ(news.job().state(), v1::JOB_STATE_PENDING);
  ASSERT_TRUE(stream->Read(&news));
  EXPECT_EQ(news.job().state(), v1::JOB_STATE_CANCELLED);
}

TEST_F(JobServiceTest, AWatcherThatLeavesIsForgotten) {
  ASSERT_TRUE(Submit(SmallSpec("a", 1)).ok());
  v1::WatchJobRequest request;
  request.set_job("a");
  auto context = TestCoordinator::Context();
  auto stream = coordinator_.stub().WatchJob(context.get(), request);
  v1::WatchJobResponse news;
  ASSERT_TRUE(stream->Read(&news));
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(coordinator_.Cancel("a", true).ok());
}

}  // namespace
}  // namespace pixelrec::coordinator
