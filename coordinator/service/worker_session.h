// The server's end of WorkerService.Session: messages in become events for the engine, one at a time; messages out are written
// one after another from a bounded queue.
//
// Threads: any. The stream may end at any time; what is sent afterwards is dropped.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include <grpcpp/support/server_callback.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "coordinator/engine/engine.h"
#include "coordinator/service/access/gate.h"
#include "coordinator/service/log_requests.h"
#include "pixelrec/v1/worker_service.pb.h"

namespace pixelrec::coordinator {

class WorkerSession final : public grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse> {
 public:
  // Deletes itself when the stream is done. All but `context` outlive the server.
  WorkerSession(Engine& engine, LogRequests& logs, Gate& gate, const grpc::CallbackServerContext& context);

 private:
  // Outlives the stream: the engine may still hold it. Owners: the stream's reactor, the engine.
  class Sink;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void OnFirst();
  void OnMessage();
  void Reject(const absl::Status& status);
  // Whether the caller may hold this worker's session; says so in the audit log.
  absl::Status CheckIdentity();

  Engine& engine_;
  LogRequests& logs_;
  Gate& gate_;
  Call call_;
  std::shared_ptr<Sink> sink_;
  v1::SessionRequest request_;
  std::string worker_id_;
  uint64_t incarnation_ = 0;
  uint64_t session_ = 0;
};

}  // namespace pixelrec::coordinator
