// What worker sessions and their losses do, over real gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/fake_worker.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() { coordinator_ = std::make_unique<TestCoordinator>(dir_.path()); }

  void Submit(const std::string& name) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec(name, 1);
    v1::Job job;
    grpc::Status status = coordinator_->Submit(request, &job);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  void BringToTraining(FakeWorker& a) {
    a.NextStart();
    a.Report(Prepared("abc"));
    a.Exit(0);
    a.NextStart();
    a.Report(Hello(11));
    a.Report(StoreOpened(4000));
    a.Report(Started());
    a.AwaitAck(a.sequence());
  }
  // The status of a session that begins with `request`.
  absl::Status Refusal(const v1::SessionRequest& request) {
    auto stub = v1::WorkerService::NewStub(rpc::OpenChannel(coordinator_->address()).value());
    auto context = TestCoordinator::Context();
    auto stream = stub->Session(context.get());
    stream->Write(request);
    v1::SessionResponse response;
    EXPECT_FALSE(stream->Read(&response)) << response.ShortDebugString();
    return rpc::FromGrpc(stream->Finish());
  }

  TemporaryFolder dir_;
  std::unique_ptr<TestCoordinator> coordinator_;
};

TEST_F(SessionTest, BeginsWithRegister) {
  v1::SessionRequest request;
  request.set_worker_id("w");
  request.mutable_beat();
  EXPECT_EQ(Refusal(request).code(), absl::StatusCode::kInvalidArgument);
  for (const std::string& id : {std::string(), std::string("-x"), std::string("a b"), std::string("a/b"), std::string(64, 'x')}) {
    request.mutable_register_();
    request.set_worker_id(id);
    const absl::Status status = Refusal(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_EQ(rpc::ReasonOf(status), rpc::kBadRequest);
  }
}

TEST_F(SessionTest, KeepsOneIdentity) {
  FakeWorker a("a", 1);
  a.Connect(coordinator_->address());
  v1::SessionRequest request = a.Envelope();
  request.set_worker_id("b");
  request.mutable_beat();
  a.Write(request);
  EXPECT_EQ(a.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(SessionTest, AnswersBeats) {
  FakeWorker a("a", 1);
  a.Connect(coordinator_->address());
  a.Beat(7);
  EXPECT_EQ(a.Read().beat_ack().number(), 7u);
}

TEST_F(SessionTest, TheNewestIncarnationWins) {
  FakeWorker old_one("a", 1), new_one("a", 2), older("a", 0);
  old_one.Connect(coordinator_->address());
  new_one.Connect(coordinator_->address());
  const absl::Status status = rpc::FromGrpc(old_one.End());
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(rpc::ReasonOf(status), rpc::kStaleIncarnation);
  v1::SessionRequest request = older.Envelope();
  request.mutable_register_();
  EXPECT_EQ(rpc::ReasonOf(Refusal(request)), rpc::kStaleIncarnation);
  new_one.Beat(1);
  EXPECT_TRUE(new_one.Read().has_beat_ack());
}

TEST_F(SessionTest, ARestartOfTheCoordinatorRestartsNoRank) {
  Submit("flow");
  FakeWorker a("a", 1);
  a.Connect(coordinator_->address());
  BringToTraining(a);
  coordinator_.reset();
  coordinator_ = std::make_unique<TestCoordinator>(dir_.path());
  EXPECT_EQ(coordinator_->Get("flow").state(), v1::JOB_STATE_RUNNING);
  a.Connect(coordinator_->address(), {a.Running()});
  // What was staged while nobody listened.
  a.Report(Staged(v1::ARTIFACT_KIND_EPOCH_CHECKPOINT, "/results/flow/checkpoint-epoch-1", 50));
  v1::SessionResponse commit = a.Next();
  ASSERT_TRUE(commit.has_commit_artifact()) << commit.ShortDebugString();
  a.Published(commit.commit_artifact().artifact());
  a.Report(Result());
  a.Exit(0);
  a.AwaitAck(a.sequence());
  const v1::Job job = coordinator_->Get("flow");
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.generation(), 2u);
  EXPECT_EQ(job.infrastructure_restarts(), 0);
}

TEST_F(SessionTest, AStaleGenerationIsToldToStop) {
  Submit("flow");
  FakeWorker a("a", 1);
  a.Connect(coordinator_->address());
  BringToTraining(a);
  v1::SessionRequest request = a.Envelope();
  v1::RankReport& report = *request.mutable_rank_report();
  report.set_job_id("flow-1");
  report.set_generation(1);
  report.set_sequence(99);
  *report.mutable_trainer() = Staged(v1::ARTIFACT_KIND_EPOCH_CHECKPOINT, "/results/flow/stale", 1);
  a.Write(request);
  v1::SessionResponse stop = a.Next();
  EXPECT_TRUE(stop.stop_rank().now()) << stop.ShortDebugString();
  EXPECT_EQ(stop.stop_rank().generation(), 1u);
  EXPECT_FALSE(coordinator_->Get("flow").has_checkpoint());
}

TEST_F(SessionTest, CancelStopsTheRankGentlyThenEndsTheJob) {
  Submit("flow");
  FakeWorker a("a", 1);
  a.Connect(coordinator_->address());
  BringToTraining(a);
  EXPECT_TRUE(coordinator_->Cancel("flow", false).ok());
  v1::SessionResponse stop = a.Next();
  EXPECT_FALSE(stop.stop_rank().now());
  EXPECT_TRUE(stop.stop_rank().stop().checkpoint());
  EXPECT_EQ(stop.stop_rank().grace().seconds(), 30);
  a.Exit(0);
  a.AwaitAck(a.sequence());
  EXPECT_EQ(coordinator_->Get("flow").state(), v1::JOB_STATE_CANCELLED);
  const absl::Status again = rpc::FromGrpc(coordinator_->Cancel("flow", false));
  EXPECT_EQ(again.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(rpc::ReasonOf(again), rpc::kJobEnded);
}

TEST_F(SessionTest, LogsComeFromTheWorkerThatHoldsThem) {
  Submit("flow");
  v1::ReadJobLogRequest request;
  request.set_job("flow");
  v1::ReadJobLogResponse response;
  EXPECT_EQ(coordinator_->stub().ReadJobLog(TestCoordinator::Context().get(), request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND)
      << "before the first generation";

  FakeWorker a("a", 1);
  a.Connect(coordinator_->address());
  BringToTraining(a);
  auto read = [&](const v1::LogChunk& answer, int64_t offset, uint64_t generation) {
    request.set_offset(offset);
    request.set_generation(generation);
    grpc::Status status;
    std::thread caller([&] { status = coordinator_->stub().ReadJobLog(TestCoordinator::Context().get(), request, &response); });
    v1::SessionResponse ask = a.Next();
    EXPECT_TRUE(ask.has_read_log()) << ask.ShortDebugString();
    EXPECT_EQ(ask.read_log().generation(), generation == 0 ? 2u : generation);
    EXPECT_EQ(ask.read_log().offset(), offset);
    EXPECT_EQ(ask.read_log().max_bytes(), 262144);
    v1::SessionRequest reply = a.Envelope();
    *reply.mutable_log_chunk() = answer;
    reply.mutable_log_chunk()->set_request(ask.read_log().request());
    a.Write(reply);
    caller.join();
    return status;
  };
  v1::LogChunk chunk;
  chunk.set_data("step 1\n");
  chunk.set_next_offset(7);
  ASSERT_TRUE(read(chunk, -100, 0).ok());
  EXPECT_EQ(response.data(), "step 1\n");
  EXPECT_EQ(response.next_offset(), 7);
  EXPECT_FALSE(response.ended());
  ASSERT_TRUE(read(chunk, 0, 1).ok());
  EXPECT_TRUE(response.ended()) << "of an older generation no more will come";
  v1::LogChunk none;
  none.set_error("no log of rank 0 of generation 2");
  EXPECT_EQ(read(none, 0, 0).error_code(), grpc::StatusCode::NOT_FOUND);

  request.set_rank(5);
  EXPECT_EQ(coordinator_->stub().ReadJobLog(TestCoordinator::Context().get(), request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

class ShortLogTimeout : public SessionTest {
 protected:
  ShortLogTimeout() {
    coordinator_.reset();
    TestCoordinator::Options options;
    options.service.log_timeout = std::chrono::milliseconds(20);
    coordinator_ = std::make_unique<TestCoordinator>(dir_.path(), options);
  }
};

TEST_F(ShortLogTimeout, AWorkerThatDoesNotAnswerIsUnavailable) {
  Submit("flow");
  FakeWorker a("a", 1);
  a.Connect(coordinator_->address());
  BringToTraining(a);
  v1::ReadJobLogRequest request;
  request.set_job("flow");
  v1::ReadJobLogResponse response;
  grpc::Status status = coordinator_->stub().ReadJobLog(TestCoordinator::Context().get(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_EQ(rpc::ReasonOf(rpc::FromGrpc(status)), rpc::kWorkerUnavailable);
}

}  // namespace
}  // namespace pixelrec::coordinator
