// One WorkerService.Session call: posts what happens to it into the agent's inbox and takes one write at a time.
//
// Threads: the public methods from the agent's loop. gRPC's threads call the rest; after Release() nothing may be called any
// more, and the object deletes itself, in the loop, when gRPC is done with it.
#pragma once

#include <functional>
#include <memory>

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include "absl/status/status.h"
#include "pixelrec/v1/worker_service.grpc.pb.h"
#include "worker/agent/inbox.h"

namespace pixelrec::agent {

class SessionStream : private grpc::ClientBidiReactor<v1::SessionRequest, v1::SessionResponse> {
 public:
  // Run in the agent's loop.
  struct Events {
    std::function<void(v1::SessionResponse)> message;
    std::function<void()> written;  // the next Write may follow
    // The last event: the other side ended the call, or it broke. The owner then calls Release() if it hasn't.
    std::function<void()> broken;
    std::function<void(absl::Status)> closed;  // after Release()
  };

  // Dials. The call keeps the stub's channel alive itself; the inbox is shared with gRPC's threads, which may be late.
  static SessionStream* Open(v1::WorkerService::StubInterface& stub, std::shared_ptr<Inbox> inbox, Events events);

  bool writable() const { return !writing_; }
  void OnWritten() { writing_ = false; }
  // Only while writable().
  void Write(v1::SessionRequest request);
  // Gives the call up. `cancel`: at once; else it has broken already and only its status is waited for.
  void Release(bool cancel);

 private:
  SessionStream(std::shared_ptr<Inbox> inbox, Events events) : inbox_(std::move(inbox)), events_(std::move(events)) {}

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  grpc::ClientContext context_;
  const std::shared_ptr<Inbox> inbox_;  // owners: the agent, every stream
  const Events events_;
  bool writing_ = false;  // the loop's
  v1::SessionRequest request_;
  v1::SessionResponse response_;
};

}  // namespace pixelrec::agent
