// Handler of pixelrec.v1.WorkerService.
#pragma once

#include "coordinator/engine/engine.h"
#include "coordinator/service/log_requests.h"
#include "coordinator/service/worker_session.h"
#include "pixelrec/v1/worker_service.grpc.pb.h"

namespace pixelrec::coordinator {

class WorkerService final : public v1::WorkerService::CallbackService {
 public:
  // Both outlive the server that this is registered with.
  WorkerService(Engine& engine, LogRequests& logs) : engine_(engine), logs_(logs) {}

  grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* Session(grpc::CallbackServerContext*) override {
    return new WorkerSession(engine_, logs_);
  }

 private:
  Engine& engine_;
  LogRequests& logs_;
};

}  // namespace pixelrec::coordinator
