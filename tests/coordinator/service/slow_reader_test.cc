// A watcher that reads nothing while its job's history grows.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "coordinator/engine/instruments.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/fake_worker.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

class SlowReader : public ::testing::Test {
 protected:
  TestCoordinator::Options MakeOptions() {
    TestCoordinator::Options options;
    options.engine.instruments = &instruments_;
    options.service.watch.max_lag = 20;
    options.engine.policy.lease = std::chrono::seconds(60);  // no beats here
    return options;
  }

  void SetUp() override {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec("flow", 1);
    v1::Job job;
    ASSERT_TRUE(coordinator_.Submit(request, &job).ok());
    worker_.Connect(coordinator_.address());
    worker_.NextStart();
  }
  void Notices(int count, size_t bytes) {
    for (int i = 0; i < count; ++i) {
      v1::TrainerReport report;
      report.mutable_notice()->set_text(std::string(bytes, 'x'));
      worker_.Report(report);
      worker_.AwaitAck(worker_.sequence());
    }
  }

  // pixelrec_stream_dropped_events_total by reason.
  double Dropped(const std::string& reason) {
    for (const prometheus::MetricFamily& family : registry_.Collect()) {
      for (const prometheus::ClientMetric& metric : family.metric) {
        if (family.name == "pixelrec_stream_dropped_events_total" && metric.label.front().value == reason) {
          return metric.counter.value;
        }
      }
    }
    return -1;
  }

  TemporaryFolder dir_;
  prometheus::Registry registry_;
  Instruments instruments_{registry_};
  TestCoordinator coordinator_{dir_.path(), MakeOptions()};
  FakeWorker worker_{"a", 1};
};

TEST_F(SlowReader, IsDisconnectedWithWhereToResume) {
  v1::WatchJobRequest request;
  request.set_job("flow");
  // A client whose receive window stays as small as it begins.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65535);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto stub =
      v1::JobService::NewStub(grpc::CreateCustomChannel(coordinator_.address(), grpc::InsecureChannelCredentials(), arguments));
  auto context = TestCoordinator::Context();
  auto stream = stub->WatchJob(context.get(), request);
  stream->WaitForInitialMetadata();
  // Enough to fill the window, and then more than the lag allowed.
  Notices(60, 100000);
  uint64_t last = 0;
  v1::WatchJobResponse news;
  while (stream->Read(&news)) {
    EXPECT_EQ(news.event().sequence(), last + 1) << "no gap before the end";
    last = news.event().sequence();
  }
  const absl::Status status = rpc::FromGrpc(stream->Finish());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(rpc::ReasonOf(status), rpc::kReaderTooSlow);
  EXPECT_GE(Dropped("slow_reader"), 20);

  // From there it goes on without gap or repeat.
  request.set_after_sequence(last);
  auto again_context = TestCoordinator::Context();
  auto again = coordinator_.stub().WatchJob(again_context.get(), request);
  const uint64_t length = 2 + 60;
  while (last < length && again->Read(&news)) {
    if (news.event().sequence() == 0) continue;
    EXPECT_EQ(news.event().sequence(), last + 1);
    last = news.event().sequence();
  }
  EXPECT_EQ(last, length);
  again_context->TryCancel();
  again->Finish();
}

TEST_F(SlowReader, ProgressCoalescesToTheNewest) {
  v1::WatchJobRequest request;
  request.set_job("flow");
  auto context = TestCoordinator::Context();
  auto stream = coordinator_.stub().WatchJob(context.get(), request);
  stream->WaitForInitialMetadata();
  for (int step = 1; step <= 2000; ++step) {
    worker_.Report(ProgressAt(step));
  }
  worker_.AwaitAck(worker_.sequence());
  int64_t last = 0;
  v1::WatchJobResponse news;
  while (last < 2000 && stream->Read(&news)) {
    if (news.event().has_progress()) {
      EXPECT_EQ(news.event().sequence(), 0u);
      EXPECT_GT(news.event().progress().step(), last) << "never backwards, never the same twice";
      last = news.event().progress().step();
      EXPECT_EQ(news.job().progress().step(), last);
    }
  }
  EXPECT_EQ(last, 2000);
  context->TryCancel();
  stream->Finish();
}

}  // namespace
}  // namespace pixelrec::coordinator
