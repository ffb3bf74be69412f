// One job from submission to result, over real gRPC, with workers that run no processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/fake_worker.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

class JobFlow : public ::testing::Test {
 protected:
  v1::Job Submit(const std::string& name, int workers) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec(name, workers);
    v1::Job job;
    grpc::Status status = coordinator_.Submit(request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }

  // Both workers train generation 2 afterwards.
  void BringToTraining(FakeWorker& a, FakeWorker& b) {
    a.NextStart();
    EXPECT_EQ(a.start().plan().role(), v1::TRAINER_ROLE_PREPARE);
    a.Report(Prepared("abc"));
    a.Exit(0);
    a.NextStart();
    b.NextStart();
    EXPECT_EQ(a.start().plan().role(), v1::TRAINER_ROLE_TRAIN);
    EXPECT_EQ(a.start().plan().data_hash(), "abc");
    EXPECT_EQ(a.start().plan().world_size(), 2);
    EXPECT_EQ(a.start().plan().rank(), 0);
    EXPECT_EQ(b.start().plan().rank(), 1);
    a.Report(Hello(11));
    b.Report(Hello(12));
    a.Report(StoreOpened(4000));
    v1::SessionResponse meeting = b.Next();
    EXPECT_EQ(meeting.set_rendezvous().rendezvous().port(), 4000) << meeting.ShortDebugString();
    a.Report(Started());
    b.Report(Started());
    a.AwaitAck(a.sequence());
    b.AwaitAck(b.sequence());
  }

  TemporaryFolder dir_;
  TestCoordinator coordinator_{dir_.path()};
};

TEST_F(JobFlow, TrainsFromSubmissionToResult) {
  v1::Job job = Submit("flow", 2);
  EXPECT_EQ(job.job_id(), "flow-1");
  EXPECT_EQ(job.state(), v1::JOB_STATE_PENDING);
  EXPECT_EQ(job.reason(), "needs 2 workers; 0 idle");

  v1::WatchJobRequest watch;
  watch.set_job("flow");
  auto watch_context = TestCoordinator::Context();
  auto events = coordinator_.stub().WatchJob(watch_context.get(), watch);

  FakeWorker a("a", 1), b("b", 1);
  a.Connect(coordinator_.address());
  EXPECT_EQ(a.registered().registered().lease().seconds(), 2);
  b.Connect(coordinator_.address());
  BringToTraining(a, b);
  v1::Job running = coordinator_.Get("flow-1");
  EXPECT_EQ(running.state(), v1::JOB_STATE_RUNNING);
  ASSERT_EQ(running.ranks_size(), 2);
  EXPECT_EQ(running.ranks(1).pid(), 12);

  a.Report(ProgressAt(50));
  a.Report(Staged(v1::ARTIFACT_KIND_EPOCH_CHECKPOINT, "/results/flow/checkpoint-epoch-1", 50));
  v1::SessionResponse commit = a.Next();
  ASSERT_TRUE(commit.has_commit_artifact()) << commit.ShortDebugString();
  EXPECT_EQ(commit.commit_artifact().artifact().staging_path(), "/results/flow/checkpoint-epoch-1.staging");
  a.Published(commit.commit_artifact().artifact());
  a.Report(Result());
  a.Exit(0);
  b.Exit(0);

  std::vector<std::string> story;
  v1::WatchJobResponse news;
  while (events->Read(&news)) {
    if (news.event().has_state_change()) {
      story.push_back(v1::JobState_Name(news.event().state_change().to()));
      EXPECT_EQ(news.job().state(), news.event().state_change().to());
    }
  }
  EXPECT_TRUE(events->Finish().ok());
  EXPECT_THAT(story, ::testing::ElementsAre("JOB_STATE_PENDING", "JOB_STATE_PREPARING", "JOB_STATE_STARTING", "JOB_STATE_RUNNING",
                                            "JOB_STATE_SUCCEEDED"));
  v1::Job done = coordinator_.Get("flow");
  EXPECT_EQ(done.checkpoint().path(), "/results/flow/checkpoint-epoch-1");
  EXPECT_EQ(done.result().samples(), 10);
}

}  // namespace
}  // namespace pixelrec::coordinator
