// Handler of pixelrec.v1.WorkerService.
#pragma once

#include "coordinator/engine/engine.h"
#include "coordinator/service/access/gate.h"
#include "coordinator/service/log_requests.h"
#include "coordinator/service/worker_session.h"
#include "pixelrec/v1/worker_service.grpc.pb.h"

namespace pixelrec::coordinator {

class WorkerService final : public v1::WorkerService::CallbackService {
 public:
  // All outlive the server that this is registered with.
  WorkerService(Engine& engine, LogRequests& logs, Gate& gate) : engine_(engine), logs_(logs), gate_(gate) {}

  grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* Session(grpc::CallbackServerContext* context) override {
    return new WorkerSession(engine_, logs_, gate_, *context);
  }

 private:
  Engine& engine_;
  LogRequests& logs_;
  Gate& gate_;
};

}  // namespace pixelrec::coordinator
