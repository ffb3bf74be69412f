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
  return CheckSpecPaths(spec, roots);
}

Caller CallerOf(const Call& call) { return {.name = call.caller.name, .may_change_any = call.caller.role == rpc::Role::kAdmin}; }

// A stream that ends before it began.
template <typename Response>
class Refusal final : public grpc::ServerWriteReactor<Response> {
 public:
  explicit Refusal(const absl::Status& status) { this->Finish(rpc::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

template <typename Request, typename Handle>
ServerUnaryReactor* JobService::Admit(CallbackServerContext* context, const Request* request, Handle handle) {
  Call call = CallOf(*context, *request);
  if (absl::Status status = gate_.Admit(*context, call); !status.ok()) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(rpc::ToGrpc(status));
    return reactor;
  }
  return handle(std::move(call));
}

ServerUnaryReactor* JobService::Answer(CallbackServerContext* context, std::function<absl::Status(const State&, Now)> read) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  engine_.Read([reactor, read = std::move(read)](const State* state, Now now) {
    reactor->Finish(rpc::ToGrpc(state == nullptr ? Stopping() : read(*state, now)));
  });
  return reactor;
}

template <typename Response>
ServerUnaryReactor* JobService::Change(CallbackServerContext* context, Call call, Event event, Response* response) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  engine_.Mutate(std::move(event), [this, reactor, response, call = std::move(call)](const Engine::Answer& answer) mutable {
    if constexpr (requires { response->mutable_job(); }) {
      // Of a job that is another's, the caller learns here no more than the refusal says.
      if (!absl::IsPermissionDenied(answer.status)) *response->mutable_job() = answer.job;
    } else if constexpr (requires { response->mutable_worker(); }) {
      *response->mutable_worker() = answer.worker;
    } else {
      response->set_job_id(answer.deletion.job_id());
      response->set_output_dir(answer.deletion.output_dir());
    }
    // The id, where the caller gave a name or nothing.
    const std::string& job = answer.job.job_id().empty() ? answer.deletion.job_id() : answer.job.job_id();
    if (!job.empty()) {
      call.job = job;
    }
    gate_.Record(call, answer.status);
    reactor->Finish(rpc::ToGrpc(answer.status));
  });
  return reactor;
}

ServerUnaryReactor* JobService::SubmitJob(CallbackServerContext* context, const v1::SubmitJobRequest* request,
                                          v1::SubmitJobResponse* response) {
  return Admit(context, request, [&](Call call) {
    v1::JobSpec spec = request->spec();
    absl::Status status = CheckSpec(spec, options_.roots);
    if (!status.ok() || request->validate_only()) {
      ServerUnaryReactor* reactor = context->DefaultReactor();
      if (!request->validate_only()) {
        gate_.Record(call, status);
      }
      *response->mutable_job()->mutable_spec() = spec;
      reactor->Finish(rpc::ToGrpc(status));
      return reactor;
    }
    Submit submit{.request_id = request->request_id(), .spec = std::move(spec), .by = CallerOf(call)};
    submit.global_batch_size = static_cast<int32_t>(config::GlobalBatchSize(submit.spec));
    return Change(context, std::move(call), std::move(submit), response);
  });
}

ServerUnaryReactor* JobService::CancelJob(CallbackServerContext* context, const v1::CancelJobRequest* request,
                                          v1::CancelJobResponse* response) {
  return Admit(context, request, [&](Call call) {
    Cancel cancel{request->job(), request->now(), request->request_id(), CallerOf(call)};
    return Change(context, std::move(call), std::move(cancel), response);
  });
}

ServerUnaryReactor* JobService::PauseJob(CallbackServerContext* context, const v1::PauseJobRequest* request,
                                         v1::PauseJobResponse* response) {
  return Admit(context, request, [&](Call call) {
    coordinator::PauseJob pause{request->job(), request->now(), request->request_id(), CallerOf(call)};
    return Change(context, std::move(call), std::move(pause), response);
  });
}

ServerUnaryReactor* JobService::ResumeJob(CallbackServerContext* context, const v1::ResumeJobRequest* request,
                                          v1::ResumeJobResponse* response) {
  return Admit(context, request, [&](Call call) {
    coordinator::ResumeJob resume{request->job(), request->request_id(), CallerOf(call)};
    return Change(context, std::move(call), std::move(resume), response);
  });
}

ServerUnaryReactor* JobService::DeleteJob(CallbackServerContext* context, const v1::DeleteJobRequest* request,
                                          v1::DeleteJobResponse* response) {
  return Admit(context, request, [&](Call call) {
    coordinator::DeleteJob deletion{request->job(), request->request_id(), CallerOf(call)};
    return Change(context, std::move(call), std::move(deletion), response);
  });
}

ServerUnaryReactor* JobService::DrainWorker(CallbackServerContext* context, const v1::DrainWorkerRequest* request,
                                            v1::DrainWorkerResponse* response) {
  return Admit(context, request, [&](Call call) {
    return Change(context, std::move(call),
                  coordinator::DrainWorker{request->worker_id(), request->mode(), request->request_id()}, response);
  });
}

ServerUnaryReactor* JobService::UndrainWorker(CallbackServerContext* context, const v1::UndrainWorkerRequest* request,
                                              v1::UndrainWorkerResponse* response) {
  return Admit(context, request, [&](Call call) {
    return Change(context, std::move(call), coordinator::UndrainWorker{request->worker_id(), request->request_id()}, response);
  });
}

ServerUnaryReactor* JobService::GetJob(CallbackServerContext* context, const v1::GetJobRequest* request,
                                       v1::GetJobResponse* response) {
  return Admit(context, request, [&](const Call&) {
    return Answer(context, [request, response](const State& state, Now now) {
      absl::StatusOr<uint64_t> number = FindJob(state, request->job());
      if (number.ok()) {
        *response->mutable_job() = ViewJob(state, state.jobs.at(*number), now);
      }
      return number.status();
    });
  });
}

ServerUnaryReactor* JobService::ListJobs(CallbackServerContext* context, const v1::ListJobsRequest* request,
                                         v1::ListJobsResponse* response) {
  return Admit(context, request, [&](const Call&) {
    return Answer(context, [request, response](const State& state, Now now) {
      return coordinator::ListJobs(state, now, *request, response);
    });
  });
}

ServerUnaryReactor* JobService::ListJobEvents(CallbackServerContext* context, const v1::ListJobEventsRequest* request,
                                              v1::ListJobEventsResponse* response) {
  return Admit(context, request, [&](const Call&) {
    return Answer(context,
                  [request, response](const State& state, Now) { return coordinator::ListJobEvents(state, *request, response); });
  });
}

ServerUnaryReactor* JobService::ListCheckpoints(CallbackServerContext* context, const v1::ListCheckpointsRequest* request,
                                                v1::ListCheckpointsResponse* response) {
  return Admit(context, request, [&](const Call&) {
    return Answer(context, [request, response](const State& state, Now) {
      return coordinator::ListCheckpoints(state, *request, response);
    });
  });
}

ServerUnaryReactor* JobService::ListWorkers(CallbackServerContext* context, const v1::ListWorkersRequest* request,
                                            v1::ListWorkersResponse* response) {
  return Admit(context, request, [&](const Call&) {
    return Answer(context,
                  [request, response](const State& state, Now) { return coordinator::ListWorkers(state, *request, response); });
  });
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* JobService::WatchJob(CallbackServerContext* context,
                                                                     const v1::WatchJobRequest* request) {
  Call call = CallOf(*context, *request);
  if (absl::Status status = gate_.Admit(*context, call); !status.ok()) {
    return new Refusal<v1::WatchJobResponse>(status);
  }
  WatchStream::Options options = options_.watch;
  options.still_good = [this, caller = call.caller] { return gate_.StillGood(caller); };
  return new WatchStream(engine_, *request, std::move(options));
}

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* JobService::StreamMetrics(CallbackServerContext* context,
                                                                               const v1::StreamMetricsRequest* request) {
  Call call = CallOf(*context, *request);
  if (absl::Status status = gate_.Admit(*context, call); !status.ok()) {
    return new Refusal<v1::StreamMetricsResponse>(status);
  }
  return new MetricsStream(engine_, series_, *request, [this, caller = call.caller] { return gate_.StillGood(caller); });
}

ServerUnaryReactor* JobService::ReadJobLog(CallbackServerContext* context, const v1::ReadJobLogRequest* request,
                                           v1::ReadJobLogResponse* response) {
  return Admit(context, request, [&](const Call&) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    LogRead::Begin(engine_, logs_, options_.log_timeout, *request,
                   [reactor, response](absl::StatusOr<v1::ReadJobLogResponse> answer) {
                     if (answer.ok()) {
                       *response = *std::move(answer);
                     }
                     reactor->Finish(rpc::ToGrpc(answer.status()));
                   });
    return reactor;
  });
}

}  // namespace pixelrec::coordinator
