// Handlers of pixelrec.v1.JobService: ask the gate, unpack, hand to the engine, pack. No decisions.
//
// Threads: any; a handler never blocks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "coordinator/engine/engine.h"
#include "coordinator/series/series.h"
#include "coordinator/service/access/gate.h"
#include "coordinator/service/log_requests.h"
#include "coordinator/service/watch_stream.h"
#include "pixelrec/v1/job_service.grpc.pb.h"

namespace pixelrec::coordinator {

class JobService final : public v1::JobService::CallbackService {
 public:
  struct Options {
    // Every path of a spec must lie under one of these; empty: anywhere.
    std::vector<std::filesystem::path> roots;
    WatchStream::Options watch;
    std::chrono::milliseconds log_timeout{5000};  // for a worker's answer
  };

  // `engine`, `logs`, `gate` and `series` outlive the server that this is registered with.
  JobService(Engine& engine, LogRequests& logs, Gate& gate, Series& series, Options options)
      : engine_(engine), logs_(logs), gate_(gate), series_(series), options_(std::move(options)) {}

  grpc::ServerUnaryReactor* SubmitJob(grpc::CallbackServerContext* context, const v1::SubmitJobRequest* request,
                                      v1::SubmitJobResponse* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context, const v1::GetJobRequest* request,
                                   v1::GetJobResponse* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context, const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context, const v1::CancelJobRequest* request,
                                      v1::CancelJobResponse* response) override;
  grpc::ServerUnaryReactor* PauseJob(grpc::CallbackServerContext* context, const v1::PauseJobRequest* request,
                                     v1::PauseJobResponse* response) override;
  grpc::ServerUnaryReactor* ResumeJob(grpc::CallbackServerContext* context, const v1::ResumeJobRequest* request,
                                      v1::ResumeJobResponse* response) override;
  grpc::ServerUnaryReactor* DeleteJob(grpc::CallbackServerContext* context, const v1::DeleteJobRequest* request,
                                      v1::DeleteJobResponse* response) override;
  grpc::ServerUnaryReactor* DrainWorker(grpc::CallbackServerContext* context, const v1::DrainWorkerRequest* request,
                                        v1::DrainWorkerResponse* response) override;
  grpc::ServerUnaryReactor* UndrainWorker(grpc::CallbackServerContext* context, const v1::UndrainWorkerRequest* request,
                                          v1::UndrainWorkerResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchJob(grpc::CallbackServerContext* context,
                                                           const v1::WatchJobRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamMetricsResponse>* StreamMetrics(grpc::CallbackServerContext* context,
                                                                     const v1::StreamMetricsRequest* request) override;
  grpc::ServerUnaryReactor* ListJobEvents(grpc::CallbackServerContext* context, const v1::ListJobEventsRequest* request,
                                          v1::ListJobEventsResponse* response) override;
  grpc::ServerUnaryReactor* ListCheckpoints(grpc::CallbackServerContext* context, const v1::ListCheckpointsRequest* request,
                                            v1::ListCheckpointsResponse* response) override;
  grpc::ServerUnaryReactor* ReadJobLog(grpc::CallbackServerContext* context, const v1::ReadJobLogRequest* request,
                                       v1::ReadJobLogResponse* response) override;
  grpc::ServerUnaryReactor* ListWorkers(grpc::CallbackServerContext* context, const v1::ListWorkersRequest* request,
                                        v1::ListWorkersResponse* response) override;

 private:
  // Has the gate look at the call; `handle(call)` goes on with it. The one way into a handler.
  template <typename Request, typename Handle>
  grpc::ServerUnaryReactor* Admit(grpc::CallbackServerContext* context, const Request* request, Handle handle);
  // Runs `read` with the state on the engine's thread and ends the call with its status.
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                   std::function<absl::Status(const State& state, Now now)> read);
  // Hands `event` to the engine and answers with what it is about: a job, a worker, or what is left of a deleted job.
  template <typename Response>
  grpc::ServerUnaryReactor* Change(grpc::CallbackServerContext* context, Call call, Event event, Response* response);

  Engine& engine_;
  LogRequests& logs_;
  Gate& gate_;
  Series& series_;
  const Options options_;
};

}  // namespace pixelrec::coordinator
