#include "coordinator/service/rpc_metrics.h"

#include <gtest/gtest.h>

#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "pixelrec/v1/job_service.grpc.pb.h"

namespace pixelrec::coordinator {
namespace {

class Refuser final : public v1::JobService::Service {
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::GetJobResponse*) override {
    return request->job() == "a" ? grpc::Status::OK : grpc::Status(grpc::StatusCode::NOT_FOUND, "no");
  }
};

TEST(RpcMetrics, CountByMethodAndCode) {
  prometheus::Registry registry;
  Refuser refuser;
  rpc::Server::Options options;
  options.interceptors.push_back(MakeRpcMetrics(registry));
  auto server = rpc::Server::Start(std::move(options), {&refuser}).value();
  auto stub = v1::JobService::NewStub(rpc::OpenChannel(server->address()).value());
  auto call = [&](const std::string& job) {
    grpc::ClientContext context;
    rpc::SetDeadline(context, std::chrono::seconds(10));
    v1::GetJobRequest request;
    request.set_job(job);
    v1::GetJobResponse response;
    return stub->GetJob(&context, request, &response);
  };
  EXPECT_TRUE(call("a").ok());
  EXPECT_TRUE(call("a").ok());
  EXPECT_FALSE(call("b").ok());
  server->Stop(std::chrono::seconds(5));

  std::map<std::string, double> handled;
  uint64_t timed = 0;
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      std::map<std::string, std::string> labels;
      for (const auto& label : metric.label) labels[label.name] = label.value;
      if (family.name == "pixelrec_grpc_server_handled_total")
        handled[labels["method"] + " " + labels["code"]] = metric.counter.value;
      if (family.name == "pixelrec_grpc_server_handling_seconds" && labels["method"] == "JobService/GetJob") {
        timed = metric.histogram.sample_count;
      }
    }
  }
  EXPECT_EQ(handled["JobService/GetJob OK"], 2);
  EXPECT_EQ(handled["JobService/GetJob NOT_FOUND"], 1);
  EXPECT_EQ(timed, 3u);
}

}  // namespace
}  // namespace pixelrec::coordinator
