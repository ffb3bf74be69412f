// ListCheckpoints over real gRPC: what is listed of a job that saves, page by page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/fake_worker.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

class Checkpoints : public ::testing::Test {
 protected:
  void SetUp() override {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec("flow", 1);
    v1::Job job;
    ASSERT_TRUE(coordinator_.Submit(request, &job).ok());
    worker_.Connect(coordinator_.address());
    worker_.NextStart();
    worker_.Report(Prepared("abc"));
    worker_.Exit(0);
    worker_.NextStart();
    worker_.Report(Started());
  }
  void Save(v1::ArtifactKind kind, const std::string& path, int64_t step) {
    worker_.Report(Staged(kind, path, step));
    const v1::SessionResponse commit = worker_.Next();
    ASSERT_TRUE(commit.has_commit_artifact()) << commit.ShortDebugString();
    worker_.Published(commit.commit_artifact().artifact());
    worker_.AwaitAck(worker_.sequence());
  }
  absl::Status List(const v1::ListCheckpointsRequest& request, v1::ListCheckpointsResponse& response) {
    response.Clear();
    return rpc::FromGrpc(coordinator_.stub().ListCheckpoints(TestCoordinator::Context().get(), request, &response));
  }

  TemporaryFolder dir_;
  TestCoordinator coordinator_{dir_.path()};
  FakeWorker worker_{"a", 1};
};

TEST_F(Checkpoints, AreListedNewestFirstPageByPage) {
  for (int step = 1; step <= 5; ++step) {
    Save(v1::ARTIFACT_KIND_EPOCH_CHECKPOINT, "/results/flow/checkpoint-epoch-" + std::to_string(step), step);
  }
  Save(v1::ARTIFACT_KIND_BEST_MODEL, "/results/flow/best_model", 5);
  v1::ListCheckpointsRequest request;
  request.set_job("flow");
  request.set_page_size(2);
  v1::ListCheckpointsResponse page;
  std::vector<int64_t> steps;
  int pages = 0;
  do {
    ASSERT_TRUE(List(request, page).ok());
    for (const v1::Checkpoint& checkpoint : page.checkpoints()) {
      steps.push_back(checkpoint.artifact().step());
      EXPECT_GT(checkpoint.commit_time().seconds(), 0);
      EXPECT_TRUE(checkpoint.published());
      EXPECT_EQ(checkpoint.state(), v1::CHECKPOINT_STATE_KEPT);
      EXPECT_EQ(checkpoint.resume_point(), checkpoint.artifact().path() == "/results/flow/checkpoint-epoch-5");
    }
    // What is committed between two pages shifts nothing.
    if (pages == 0) Save(v1::ARTIFACT_KIND_EPOCH_CHECKPOINT, "/results/flow/checkpoint-epoch-5", 5);
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!page.next_page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(steps, ::testing::ElementsAre(5, 5, 4, 3, 2, 1));
}

TEST_F(Checkpoints, OfNoJobOrABadPageAreRefused) {
  v1::ListCheckpointsRequest request;
  v1::ListCheckpointsResponse response;
  request.set_job("nope");
  EXPECT_EQ(rpc::ReasonOf(List(request, response)), rpc::kJobNotFound);
  request.set_job("flow");
  EXPECT_TRUE(List(request, response).ok());
  EXPECT_EQ(response.checkpoints_size(), 0);
  request.set_page_token("x");
  EXPECT_EQ(rpc::ReasonOf(List(request, response)), rpc::kBadPageToken);
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_EQ(List(request, response).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pixelrec::coordinator
