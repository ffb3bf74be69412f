// StreamMetrics over real gRPC: history, live points, resumption over broken streams and coordinators, slow readers.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <optional>

#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/fake_worker.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

using testing::ElementsAre;

class MetricsStreamTest : public ::testing::Test {
 protected:
  static constexpr size_t kMaxPoints = 300;

  void SetUp() override {
    StartCoordinator();
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec("flow", 1);
    v1::Job job;
    ASSERT_TRUE(coordinator_->Submit(request, &job).ok());
    worker_.Connect(coordinator_->address());
    worker_.NextStart();
    worker_.Report(Prepared("abc"));
    worker_.Exit(0);
    worker_.NextStart();
    worker_.Report(Started());
  }

  void StartCoordinator() {
    TestCoordinator::Options options;
    options.series_max_points = kMaxPoints;
    options.engine.policy.lease = std::chrono::seconds(60);  // no beats here
    coordinator_.emplace(dir_.path(), options);
  }

  // Record `record` of its generation, taken at step 10 x record.
  void Train(int64_t record) {
    v1::TrainerReport report = ProgressAt(10 * record);
    report.mutable_progress()->set_record(record);
    report.mutable_progress()->set_loss(1.0 / static_cast<double>(record));
    worker_.Report(report);
    worker_.AwaitAck(worker_.sequence());
  }

  struct Stream {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<grpc::ClientReader<v1::StreamMetricsResponse>> reader;

    // Up to `count` more points, fewer at the stream's end.
    std::vector<v1::MetricPoint> Read(size_t count) {
      std::vector<v1::MetricPoint> points;
      v1::StreamMetricsResponse response;
      while (points.size() < count && reader->Read(&response)) {
        EXPECT_GT(response.points_size(), 0);
        points.insert(points.end(), response.points().begin(), response.points().end());
      }
      return points;
    }
    absl::Status Finish() { return rpc::FromGrpc(reader->Finish()); }
    void Leave() {
      context->TryCancel();
      reader->Finish();
    }
  };
  Stream Open(bool follow, uint64_t after = 0, const std::string& job = "flow") {
    v1::StreamMetricsRequest request;
    request.set_job(job);
    request.set_follow(follow);
    request.set_after_sequence(after);
    Stream stream{.context = TestCoordinator::Context(), .reader = nullptr};
    stream.reader = coordinator_->stub().StreamMetrics(stream.context.get(), request);
    return stream;
  }
  std::vector<v1::MetricPoint> All(uint64_t after = 0) {
    Stream stream = Open(false, after);
    std::vector<v1::MetricPoint> points = stream.Read(SIZE_MAX);
    EXPECT_TRUE(stream.Finish().ok());
    return points;
  }
  static std::vector<int64_t> Steps(const std::vector<v1::MetricPoint>& points) {
    std::vector<int64_t> steps;
    for (const v1::MetricPoint& point : points) steps.push_back(point.step());
    return steps;
  }

  TemporaryFolder dir_;
  std::optional<TestCoordinator> coordinator_;
  FakeWorker worker_{"a", 1};
};

TEST_F(MetricsStreamTest, GivesWhatThereIs) {
  EXPECT_TRUE(All().empty());
  Train(1);
  Train(2);
  v1::TrainerReport section = ProgressAt(20);
  section.mutable_progress()->set_record(2);
  section.mutable_progress()->set_section("validate");
  worker_.Report(section);
  v1::TrainerReport epoch;
  epoch.mutable_epoch_result()->set_epoch(1);
  epoch.mutable_epoch_result()->set_step(20);
  epoch.mutable_epoch_result()->set_validation_loss(4.5);
  epoch.mutable_epoch_result()->mutable_validation()->add_at()->set_k(10);
  worker_.Report(epoch);
  worker_.AwaitAck(worker_.sequence());
  const std::vector<v1::MetricPoint> points = All();
  ASSERT_THAT(Steps(points), ElementsAre(10, 20, 20)) << "a section says no figures twice";
  EXPECT_EQ(points[1].training().loss(), 0.5);
  EXPECT_EQ(points[1].training().total_steps(), 100);
  EXPECT_EQ(points[1].generation(), 2U);
  EXPECT_GT(points[1].time().seconds(), 0);
  EXPECT_FALSE(points[2].has_training());
  ASSERT_EQ(points[2].evaluations_size(), 1);
  EXPECT_EQ(points[2].evaluations(0).name(), "validation");
  EXPECT_EQ(points[2].evaluations(0).loss(), 4.5);
  EXPECT_EQ(points[2].evaluations(0).at(0).k(), 10);
  EXPECT_THAT(Steps(All(points[0].sequence())), ElementsAre(20, 20));
  EXPECT_TRUE(All(UINT64_MAX).empty());
}

TEST_F(MetricsStreamTest, OfNoJobIsRefused) {
  Stream stream = Open(true, 0, "nope");
  EXPECT_TRUE(stream.Read(1).empty());
  EXPECT_EQ(rpc::ReasonOf(stream.Finish()), rpc::kJobNotFound);
}

TEST_F(MetricsStreamTest, FollowsUntilTheJobEnds) {
  Stream stream = Open(true);
  Train(1);
  EXPECT_THAT(Steps(stream.Read(1)), ElementsAre(10));
  Train(2);
  EXPECT_THAT(Steps(stream.Read(1)), ElementsAre(20));
  v1::TrainerReport result = Result();
  result.mutable_result()->mutable_test()->add_at()->set_k(5);
  result.mutable_result()->mutable_popularity()->add_at()->set_k(5);
  result.mutable_result()->add_epochs()->set_step(20);
  worker_.Report(result);
  worker_.Exit(0);
  const std::vector<v1::MetricPoint> rest = stream.Read(SIZE_MAX);
  EXPECT_TRUE(stream.Finish().ok());
  ASSERT_EQ(rest.size(), 1U);
  ASSERT_EQ(rest[0].evaluations_size(), 2);
  EXPECT_EQ(rest[0].evaluations(0).name(), "test");
  EXPECT_EQ(rest[0].evaluations(1).name(), "popularity");
  EXPECT_EQ(rest[0].step(), 20);
  // And of a job that has ended it gives all and ends.
  Stream again = Open(true);
  EXPECT_EQ(again.Read(SIZE_MAX).size(), 3U);
  EXPECT_TRUE(again.Finish().ok());
}

TEST_F(MetricsStreamTest, ReconnectsInTheMiddleWithoutGapOrRepeat) {
  std::vector<int64_t> seen;
  uint64_t after = 0;
  for (int64_t record = 1; record <= 30; record += 3) {
    Stream stream = Open(true, after);
    for (int64_t i = record; i < record + 3; ++i) Train(i);
    for (const v1::MetricPoint& point : stream.Read(2)) {
      EXPECT_GT(point.sequence(), after);
      EXPECT_EQ(point.merged(), 0);
      seen.push_back(point.step());
      after = point.sequence();
    }
    stream.Leave();
  }
  for (const v1::MetricPoint& point : All(after)) seen.push_back(point.step());
  ASSERT_EQ(seen.size(), 30U);
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], static_cast<int64_t>(10 * (i + 1)));
}

TEST_F(MetricsStreamTest, GoesOnOverARestartOfTheCoordinator) {
  Train(1);
  Train(2);
  Stream stream = Open(true);
  const std::vector<v1::MetricPoint> before = stream.Read(2);
  ASSERT_EQ(before.size(), 2U);
  coordinator_.reset();
  EXPECT_EQ(stream.Finish().code(), absl::StatusCode::kUnavailable);
  StartCoordinator();
  worker_.Connect(coordinator_->address(), {worker_.Running()});
  Train(2);  // said again, with a new number of the report
  Train(5);  // what was said in between is lost
  EXPECT_THAT(Steps(All()), ElementsAre(10, 20, 50));
  Stream again = Open(true, before[1].sequence());
  const std::vector<v1::MetricPoint> after = again.Read(1);
  ASSERT_THAT(Steps(after), ElementsAre(50));
  EXPECT_EQ(after[0].merged(), 2);
  again.Leave();
}

TEST_F(MetricsStreamTest, TwoGenerationsAreOneSeries) {
  Train(1);
  Train(2);
  const uint64_t last = All().back().sequence();
  worker_.Exit(-1, 9);
  worker_.NextStart();  // of generation 3, from the beginning
  worker_.Report(Started());
  Train(1);
  Stream stream = Open(true);
  const std::vector<v1::MetricPoint> points = stream.Read(3);
  stream.Leave();
  ASSERT_THAT(Steps(points), ElementsAre(10, 20, 10));
  EXPECT_EQ(points[2].generation(), 3U);
  EXPECT_GT(points[2].sequence(), last);
  EXPECT_THAT(Steps(All(last)), ElementsAre(10));
}

TEST_F(MetricsStreamTest, ADeletedJobsSeriesIsGone) {
  Train(1);
  ASSERT_TRUE(coordinator_->Cancel("flow", true).ok());
  worker_.Next();
  worker_.Exit(-1, 9);
  worker_.AwaitAck(worker_.sequence());
  v1::DeleteJobRequest request;
  request.set_job("flow-1");
  v1::DeleteJobResponse response;
  ASSERT_TRUE(coordinator_->stub().DeleteJob(TestCoordinator::Context().get(), request, &response).ok());
  Stream stream = Open(false);
  EXPECT_TRUE(stream.Read(1).empty());
  EXPECT_EQ(stream.Finish().code(), absl::StatusCode::kNotFound);
}

// A reader that takes nothing meanwhile finds a series that is as long as ever, with all of it accounted for.
TEST_F(MetricsStreamTest, ASlowReaderCostsNothingAndIsToldWhatWasMerged) {
  // A client whose receive window stays as small as it begins.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65535);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto stub =
      v1::JobService::NewStub(grpc::CreateCustomChannel(coordinator_->address(), grpc::InsecureChannelCredentials(), arguments));
  v1::StreamMetricsRequest request;
  request.set_job("flow");
  request.set_follow(true);
  Stream slow{.context = TestCoordinator::Context(), .reader = nullptr};
  slow.reader = stub->StreamMetrics(slow.context.get(), request);
  Train(1);
  ASSERT_THAT(Steps(slow.Read(1)), ElementsAre(10));
  Stream quick = Open(true);
  constexpr int64_t kRecords = 2000;
  for (int64_t record = 2; record <= kRecords; ++record) {
    v1::TrainerReport report = ProgressAt(10 * record);
    report.mutable_progress()->set_record(record);
    worker_.Report(report);
    if (record % 100 == 0) {
      worker_.AwaitAck(worker_.sequence());
      for (int64_t step = 0; step < 10 * record;) {
        const std::vector<v1::MetricPoint> points = quick.Read(1);
        ASSERT_FALSE(points.empty());
        step = points.back().step();
      }
    }
  }
  int64_t records = 1, last = 10;
  size_t points = 1;
  v1::StreamMetricsResponse response;
  while (last < 10 * kRecords && slow.reader->Read(&response)) {
    for (const v1::MetricPoint& point : response.points()) {
      EXPECT_GT(point.step(), last);
      last = point.step();
      records += 1 + point.merged();
      ++points;
    }
  }
  EXPECT_EQ(last, 10 * kRecords);
  EXPECT_GE(records, kRecords) << "none is forgotten; one that was sent before it was merged may be counted again";
  EXPECT_LT(points, static_cast<size_t>(kRecords));
  int64_t kept = 0;
  const std::vector<v1::MetricPoint> all = All();
  for (const v1::MetricPoint& point : all) kept += 1 + point.merged();
  EXPECT_EQ(kept, kRecords);
  EXPECT_LE(all.size(), kMaxPoints);
  slow.Leave();
  quick.Leave();
}

}  // namespace
}  // namespace pixelrec::coordinator
