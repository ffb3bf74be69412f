// A coordinator in this process: journal, engine and services behind a real gRPC server on a free port of loopback.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "coordinator/engine/engine.h"
#include "coordinator/journal/journal.h"
#include "coordinator/service/access/foreign_calls.h"
#include "coordinator/service/job_service.h"
#include "coordinator/service/worker_service.h"
#include "pixelrec/v1/job_service.grpc.pb.h"

namespace pixelrec::coordinator {

class TestCoordinator {
 public:
  struct Options {
    Engine::Options engine;
    JobService::Options service;
    int64_t journal_max_bytes = 0;
    // Both null: everybody is the admin "local", and nothing is written down.
    rpc::Authenticator* authenticator = nullptr;
    AuditLog* audit = nullptr;
    bool reflection = false;
    std::shared_ptr<grpc::ServerCredentials> credentials = nullptr;  // null: plaintext
    config::ClientSecurity client = {};                              // of stub()
    size_t series_max_points = 2000;
  };

  explicit TestCoordinator(const std::filesystem::path& state_dir) : TestCoordinator(state_dir, Options()) {}
  TestCoordinator(const std::filesystem::path& state_dir, const Options& options) {
    gate_ = std::make_unique<Gate>(options.authenticator, options.audit);
    auto journal = Journal::Open({.path = state_dir / "journal.db", .max_bytes = options.journal_max_bytes});
    EXPECT_TRUE(journal.ok()) << journal.status();
    series_ = Series::Start({.file = {.path = state_dir / "metrics.db", .max_points = options.series_max_points}});
    Engine::Options engine_options = options.engine;
    engine_options.series = series_.get();
    auto engine = Engine::Start(engine_options, *std::move(journal));
    EXPECT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    jobs_ = std::make_unique<JobService>(*engine_, logs_, *gate_, *series_, options.service);
    workers_ = std::make_unique<WorkerService>(*engine_, logs_, *gate_);
    rpc::Server::Options serving;
    serving.credentials = options.credentials;
    serving.reflection = options.reflection;
    serving.interceptors.push_back(GuardForeignCalls(*gate_));
    auto server = rpc::Server::Start(std::move(serving), {jobs_.get(), workers_.get()});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetReady(true);
    stub_ = v1::JobService::NewStub(rpc::OpenChannel(address(), options.client).value());
  }
  ~TestCoordinator() {
    engine_->Stop();
    server_->Stop(std::chrono::milliseconds(1000));
  }

  const std::string& address() const { return server_->address(); }
  Engine& engine() { return *engine_; }
  v1::JobService::Stub& stub() { return *stub_; }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    rpc::SetDeadline(*context, std::chrono::seconds(30));
    return context;
  }
  grpc::Status Submit(const v1::SubmitJobRequest& request, v1::Job* job) {
    v1::SubmitJobResponse response;
    grpc::Status status = stub_->SubmitJob(Context().get(), request, &response);
    *job = response.job();
    return status;
  }
  v1::Job Get(const std::string& name) {
    v1::GetJobRequest request;
    request.set_job(name);
    v1::GetJobResponse response;
    grpc::Status status = stub_->GetJob(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.job();
  }
  grpc::Status Cancel(const std::string& name, bool now) {
    v1::CancelJobRequest request;
    request.set_job(name);
    request.set_now(now);
    v1::CancelJobResponse response;
    return stub_->CancelJob(Context().get(), request, &response);
  }

 private:
  LogRequests logs_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<Series> series_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<JobService> jobs_;
  std::unique_ptr<WorkerService> workers_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::JobService::Stub> stub_;
};

inline v1::JobSpec SmallSpec(const std::string& name, int workers) {
  v1::JobSpec spec;
  spec.set_kind("TrainingJob");
  spec.set_name(name);
  spec.mutable_data()->set_interaction_data("/data/interactions.csv");
  spec.mutable_data()->set_text_data("/data/items.csv");
  spec.mutable_model()->set_item_model_dir("/models/llm");
  spec.mutable_model()->set_user_model_dir("/models/llm");
  spec.mutable_distributed()->set_workers(workers);
  spec.set_output_dir("/results/" + name);
  return spec;
}

}  // namespace pixelrec::coordinator
