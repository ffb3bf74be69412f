#include "coordinator/service/job_service.h"

#include "absl/strings/str_cat.h"
#include "common/config/job_spec.h"
#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "coordinator/service/log_read.h"
#include "coordinator/service/metrics_stream.h"
#include "coordinator/service/paging.h"
#include "coordinator/service/spec_paths.h"
#include "coordinator/state/view.h"

namespace pixelrec::coordinator {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

namespace {

absl::Status WithReason(const absl::Status& status, absl::string_view reason) {
  return status.ok() ? status : rpc::Refuse(status.code(), reason, status.message());
}

absl::Status CheckSpec(v1::JobSpec& spec, const std::vector<std::filesystem::path>& roots) {
  config::ApplyDefaults(spec);
  if (absl::Status status = config::ValidateJobSpec(spec); !status.ok()) {
    return WithReason(status, rpc::kSpecInvalid);
  }
  if (absl::Status status = CheckSpecPaths(spec, roots); !status.ok()) {
    return status;
  }
  // One directory has one spelling, so that two jobs can't share it unseen.
  std::string output = std::filesystem::path(spec.output_dir()).lexically_normal().string();
  while (output.size() > 1 && output.back() == '/') {
    output.pop_back();
  }
  spec.set_output_dir(output);
  return absl::OkStatus();
}

}  // namespace

ServerUnaryReactor* JobService::Answer(CallbackServerContext* context, std::function<absl::Status(const State&, Now)> read) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  engine_.Read([reactor, read = std::move(read)](const State* state, Now now) {
    reactor->Finish(rpc::ToGrpc(state == nullptr ? rpc::Refuse(absl::StatusCode::kUnavailable, rpc::kCoordinatorStopping,
                                                               "the coordinator is stopping: try again later")
                                                 : read(*state, now)));
  });
  return reactor;
}

template <typename Response>
ServerUnaryReactor* JobService::Change(CallbackServerContext* context, Event event, Response* response) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  engine_.Mutate(std::move(event), [reactor, response](const Engine::Answer& answer) {
    if constexpr (requires { response->mutable_job(); }) {
      *response->mutable_job() = answer.job;
    } else if constexpr (requires { response->mutable_worker(); }) {
      *response->mutable_worker() = answer.worker;
    } else {
      response->set_job_id(answer.deletion.job_id());
      response->set_output_dir(answer.deletion.output_dir());
    }
    reactor->Finish(rpc::ToGrpc(answer.status));
  });
  return reactor;
}

ServerUnaryReactor* JobService::SubmitJob(CallbackServerContext* context, const v1::SubmitJobRequest* request,
                                          v1::SubmitJobResponse* response) {
  v1::JobSpec spec = request->spec();
  absl::Status status = CheckSpec(spec, options_.roots);
  if (!status.ok() || request->validate_only()) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    *response->mutable_job()->mutable_spec() = spec;
    reactor->Finish(rpc::ToGrpc(status));
    return reactor;
  }
  Submit submit{.request_id = request->request_id(), .spec = std::move(spec)};
  submit.global_batch_size = static_cast<int32_t>(config::GlobalBatchSize(submit.spec));
  return Change(context, std::move(submit), response);
}

ServerUnaryReactor* JobService::CancelJob(CallbackServerContext* context, const v1::CancelJobRequest* request,
                                          v1::CancelJobResponse* response) {
  return Change(context, Cancel{request->job(), request->now(), request->request_id()}, response);
}

ServerUnaryReactor* JobService::PauseJob(CallbackServerContext* context, const v1::PauseJobRequest* request,
                                         v1::PauseJobResponse* response) {
  return Change(context, coordinator::PauseJob{request->job(), request->now(), request->request_id()}, response);
}

ServerUnaryReactor* JobService::ResumeJob(CallbackServerContext* context, const v1::ResumeJobRequest* request,
                                          v1::ResumeJobResponse* response) {
  return Change(context, coordinator::ResumeJob{request->job(), request->request_id()}, response);
}

ServerUnaryReactor* JobService::DeleteJob(CallbackServerContext* context, const v1::DeleteJobRequest* request,
                                          v1::DeleteJobResponse* response) {
  return Change(context, coordinator::DeleteJob{request->job(), request->request_id()}, response);
}

ServerUnaryReactor* JobService::DrainWorker(CallbackServerContext* context, const v1::DrainWorkerRequest* request,
                                            v1::DrainWorkerResponse* response) {
  return Change(context, coordinator::DrainWorker{request->worker_id(), request->mode(), request->request_id()}, response);
}

ServerUnaryReactor* JobService::UndrainWorker(CallbackServerContext* context, const v1::UndrainWorkerRequest* request,
                                              v1::UndrainWorkerResponse* response) {
  return Change(context, coordinator::UndrainWorker{request->worker_id(), request->request_id()}, response);
}

ServerUnaryReactor* JobService::GetJob(CallbackServerContext* context, const v1::GetJobRequest* request,
                                       v1::GetJobResponse* response) {
  return Answer(context, [request, response](const State& state, Now now) {
    absl::StatusOr<uint64_t> number = FindJob(state, request->job());
    if (number.ok()) {
      *response->mutable_job() = ViewJob(state, state.jobs.at(*number), now);
    }
    return number.status();
  });
}

ServerUnaryReactor* JobService::ListJobs(CallbackServerContext* context, const v1::ListJobsRequest* request,
                                         v1::ListJobsResponse* response) {
  return Answer(context, [request, response](const State& state, Now now) {
    return coordinator::ListJobs(state, now, *request, response);
  });
}

ServerUnaryReactor* JobService::ListJobEvents(CallbackServerContext* context, const v1::ListJobEventsRequest* request,
                                              v1::ListJobEventsResponse* response) {
  return Answer(context,
                [request, response](const State& state, Now) { return coordinator::ListJobEvents(state, *request, response); });
}

ServerUnaryReactor* JobService::ListCheckpoints(CallbackServerContext* context, const v1::ListCheckpointsRequest* request,
                                                v1::ListCheckpointsResponse* response) {
  return Answer(context,
                [request, response](const State& state, Now) { return coordinator::ListCheckpoints(state, *request, response); });
}

ServerUnaryReactor* JobService::ListWorkers(CallbackServerContext* context, const v1::ListWorkersRequest* request,
                                            v1::ListWorkersResponse* response) {
  return Answer(context,
                [request, response](const State& state, Now) { return coordinator::ListWorkers(state, *request, response); });
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* JobService::WatchJob(CallbackServerContext*, const v1::WatchJobRequest* request) {
  return new WatchStream(engine_, *request, options_.watch);
}

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* JobService::StreamMetrics(CallbackServerContext*,
                                                                               const v1::StreamMetricsRequest* request) {
  return new MetricsStream(engine_, series_, *request);
}

ServerUnaryReactor* JobService::ReadJobLog(CallbackServerContext* context, const v1::ReadJobLogRequest* request,
                                           v1::ReadJobLogResponse* response) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  LogRead::Begin(engine_, logs_, options_.log_timeout, *request,
                 [reactor, response](absl::StatusOr<v1::ReadJobLogResponse> answer) {
                   if (answer.ok()) {
                     *response = *std::move(answer);
                   }
                   reactor->Finish(rpc::ToGrpc(answer.status()));
                 });
  return reactor;
}

}  // namespace pixelrec::coordinator
