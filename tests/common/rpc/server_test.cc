#include "common/rpc/server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "common/rpc/channel.h"
#include "pixelrec/v1/job_service.grpc.pb.h"
#include "tests/common/rpc/health_probe.h"

namespace pixelrec::rpc {
namespace {

class Echo final : public v1::JobService::Service {
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::GetJobResponse* response) override {
    response->mutable_job()->set_job_id(request->job());
    return grpc::Status::OK;
  }
};

grpc::Status Call(grpc::Channel& channel, const std::string& job, std::string* answer) {
  grpc::ClientContext context;
  SetDeadline(context, std::chrono::seconds(10));
  v1::GetJobRequest request;
  request.set_job(job);
  v1::GetJobResponse response;
  std::shared_ptr<grpc::ChannelInterface> alias(std::shared_ptr<void>(), &channel);
  grpc::Status status = v1::JobService::NewStub(alias)->GetJob(&context, request, &response);
  *answer = response.job().job_id();
  return status;
}

TEST(Server, ServesOnAFreePortAndSaysWhich) {
  Echo echo;
  auto server = Server::Start({}, {&echo});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->address().rfind("127.0.0.1:", 0), 0u);
  EXPECT_NE((*server)->address(), "127.0.0.1:0");
  auto channel = OpenChannel((*server)->address()).value();
  std::string answer;
  EXPECT_TRUE(Call(*channel, "x", &answer).ok());
  EXPECT_EQ(answer, "x");
}

TEST(Server, APortInUseIsOneClearError) {
  Echo echo;
  auto first = Server::Start({}, {&echo}).value();
  Server::Options options;
  options.address = first->address();
  auto second = Server::Start(std::move(options), {&echo});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find(first->address()), std::string::npos) << second.status();
  EXPECT_NE(second.status().message().find("in use"), std::string::npos) << second.status();
}

TEST(Server, PlaintextBeyondLoopbackMustBeAskedFor) {
  Echo echo;
  Server::Options options;
  options.address = "0.0.0.0:0";
  EXPECT_EQ(Server::Start(std::move(options), {&echo}).status().code(), absl::StatusCode::kFailedPrecondition);
  Server::Options insecure;
  insecure.address = "0.0.0.0:0";
  insecure.insecure = true;
  EXPECT_TRUE(Server::Start(std::move(insecure), {&echo}).ok());
}

TEST(Server, AnAddressMustBeHostAndPort) {
  for (const char* bad : {"", "host", ":1", "host:", "host:x", "host:-1", "host:65536", "::1:80", "[]:1"}) {
    EXPECT_EQ(CheckAddress(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_FALSE(OpenChannel(bad).ok()) << bad;
  }
  for (const char* good : {"host:1", "127.0.0.1:0", "[::1]:7070", "coordinator.pixelrec.svc:7070"}) {
    EXPECT_TRUE(CheckAddress(good).ok()) << good;
  }
}

TEST(Server, KnowsLoopback) {
  for (const char* address : {"127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:1", "10.0.0.1:1", "[::]:1", "example:1", "128.0.0.1:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST(Server, RefusesWhatIsLargerThanTheReceiveLimit) {
  Echo echo;
  auto server = Server::Start({}, {&echo}).value();
  auto channel = OpenChannel(server->address()).value();
  std::string answer;
  EXPECT_EQ(Call(*channel, std::string(kReceiveLimit + 1, 'x'), &answer).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Call(*channel, "still there", &answer).ok());
}

TEST(Server, LivenessAndReadinessHaveNamesOfTheirOwn) {
  Echo echo;
  auto server = Server::Start({}, {&echo}).value();
  auto channel = OpenChannel(server->address()).value();
  EXPECT_EQ(ProbeHealth(*channel, kLiveness), Health::kServing);
  EXPECT_EQ(ProbeHealth(*channel, kReadiness), Health::kNotServing);
  server->SetReady(true);
  EXPECT_EQ(ProbeHealth(*channel, kReadiness), Health::kServing);
  EXPECT_EQ(ProbeHealth(*channel, ""), Health::kServing);
  server->SetReady(false);
  EXPECT_EQ(ProbeHealth(*channel, ""), Health::kNotServing);
  EXPECT_EQ(ProbeHealth(*channel, kLiveness), Health::kServing);
}

TEST(Server, StopIsFinal) {
  Echo echo;
  auto server = Server::Start({}, {&echo}).value();
  auto channel = OpenChannel(server->address()).value();
  std::string answer;
  ASSERT_TRUE(Call(*channel, "x", &answer).ok());
  server->Stop(std::chrono::milliseconds(0));
  EXPECT_EQ(Call(*channel, "x", &answer).error_code(), grpc::StatusCode::UNAVAILABLE);
  server->Stop(std::chrono::milliseconds(0));
  server->SetReady(true);
}

TEST(DescriptorLimit, IsRaisedTowardsTheHardLimit) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 256;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  auto limit = RaiseDescriptorLimit();
  ASSERT_TRUE(limit.ok()) << limit.status();
  EXPECT_EQ(*limit, static_cast<int64_t>(std::min<rlim_t>(65536, before.rlim_max)));
  setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace pixelrec::rpc
