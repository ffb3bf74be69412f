// A JobService whose answers a test decides, on a real port.
//
// Threads: handlers run on gRPC's threads; set the functions before the calls come.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/reasons.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "pixelrec/v1/job_service.grpc.pb.h"

namespace pixelrec::ctl {

class FakeJobService : public v1::JobService::Service {
 public:
  template <typename Request, typename Response>
  using Handler = std::function<absl::StatusOr<Response>(const Request&)>;
  using WatchWriter = grpc::ServerWriter<v1::WatchJobResponse>;
  using MetricsWriter = grpc::ServerWriter<v1::StreamMetricsResponse>;

  Handler<v1::SubmitJobRequest, v1::SubmitJobResponse> submit;
  Handler<v1::GetJobRequest, v1::GetJobResponse> get;
  Handler<v1::ListJobsRequest, v1::ListJobsResponse> list;
  Handler<v1::CancelJobRequest, v1::CancelJobResponse> cancel;
  Handler<v1::PauseJobRequest, v1::PauseJobResponse> pause;
  Handler<v1::ResumeJobRequest, v1::ResumeJobResponse> resume;
  Handler<v1::DeleteJobRequest, v1::DeleteJobResponse> remove;
  Handler<v1::DrainWorkerRequest, v1::DrainWorkerResponse> drain;
  Handler<v1::UndrainWorkerRequest, v1::UndrainWorkerResponse> undrain;
  Handler<v1::ListJobEventsRequest, v1::ListJobEventsResponse> events;
  Handler<v1::ListCheckpointsRequest, v1::ListCheckpointsResponse> checkpoints;
  Handler<v1::ReadJobLogRequest, v1::ReadJobLogResponse> log;
  Handler<v1::ListWorkersRequest, v1::ListWorkersResponse> workers;
  std::function<absl::Status(const v1::WatchJobRequest&, grpc::ServerContext&, WatchWriter&)> watch;
  std::function<absl::Status(const v1::StreamMetricsRequest&, grpc::ServerContext&, MetricsWriter&)> metrics;

  // Serves on `address` ("127.0.0.1:0": any port) until the returned server goes.
  std::unique_ptr<rpc::Server> Serve(const std::string& address = "127.0.0.1:0") {
    rpc::Server::Options options;
    options.address = address;
    auto server = rpc::Server::Start(std::move(options), {this});
    EXPECT_TRUE(server.ok()) << server.status();
    return server.ok() ? *std::move(server) : nullptr;
  }

  static absl::Status NotFound() {
    return rpc::Refuse(absl::StatusCode::kNotFound, rpc::kJobNotFound, "no job is called \"nothing\"");
  }

 private:
  template <typename Request, typename Response>
  static grpc::Status Answer(const Handler<Request, Response>& handler, const Request& request, Response& response) {
    if (!handler) return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "the test does not expect this call");
    absl::StatusOr<Response> answer = handler(request);
    if (!answer.ok()) return rpc::ToGrpc(answer.status());
    response = *std::move(answer);
    return grpc::Status::OK;
  }

  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest* q, v1::SubmitJobResponse* p) override {
    return Answer(submit, *q, *p);
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* q, v1::GetJobResponse* p) override {
    return Answer(get, *q, *p);
  }
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* q, v1::ListJobsResponse* p) override {
    return Answer(list, *q, *p);
  }
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest* q, v1::CancelJobResponse* p) override {
    return Answer(cancel, *q, *p);
  }
  grpc::Status PauseJob(grpc::ServerContext*, const v1::PauseJobRequest* q, v1::PauseJobResponse* p) override {
    return Answer(pause, *q, *p);
  }
  grpc::Status ResumeJob(grpc::ServerContext*, const v1::ResumeJobRequest* q, v1::ResumeJobResponse* p) override {
    return Answer(resume, *q, *p);
  }
  grpc::Status DeleteJob(grpc::ServerContext*, const v1::DeleteJobRequest* q, v1::DeleteJobResponse* p) override {
    return Answer(remove, *q, *p);
  }
  grpc::Status DrainWorker(grpc::ServerContext*, const v1::DrainWorkerRequest* q, v1::DrainWorkerResponse* p) override {
    return Answer(drain, *q, *p);
  }
  grpc::Status UndrainWorker(grpc::ServerContext*, const v1::UndrainWorkerRequest* q, v1::UndrainWorkerResponse* p) override {
    return Answer(undrain, *q, *p);
  }
  grpc::Status ListJobEvents(grpc::ServerContext*, const v1::ListJobEventsRequest* q, v1::ListJobEventsResponse* p) override {
    return Answer(events, *q, *p);
  }
  grpc::Status ListCheckpoints(grpc::ServerContext*, const v1::ListCheckpointsRequest* q,
                               v1::ListCheckpointsResponse* p) override {
    return Answer(checkpoints, *q, *p);
  }
  grpc::Status ReadJobLog(grpc::ServerContext*, const v1::ReadJobLogRequest* q, v1::ReadJobLogResponse* p) override {
    return Answer(log, *q, *p);
  }
  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest* q, v1::ListWorkersResponse* p) override {
    return Answer(workers, *q, *p);
  }
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* q, WatchWriter* writer) override {
    if (!watch) return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "the test does not expect this call");
    return rpc::ToGrpc(watch(*q, *context, *writer));
  }
  grpc::Status StreamMetrics(grpc::ServerContext* context, const v1::StreamMetricsRequest* q, MetricsWriter* writer) override {
    if (!metrics) return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "the test does not expect this call");
    return rpc::ToGrpc(metrics(*q, *context, *writer));
  }
};

}  // namespace pixelrec::ctl
