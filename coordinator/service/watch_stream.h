// The server's end of JobService.WatchJob. It pulls events out of the state as fast as its reader takes them, so that nothing is
// queued for a slow reader: of progress it sees the newest, of durable events all, or RESOURCE_EXHAUSTED with where to resume.
//
// Threads: any.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include <grpcpp/support/server_callback.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "coordinator/engine/engine.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::coordinator {

class WatchStream final : public grpc::ServerWriteReactor<v1::WatchJobResponse> {
 public:
  struct Options {
    // Durable events that may happen while one message waits to be taken.
    uint64_t max_lag = 1000;
    // Whether the reader may still read, asked whenever there is something new for it.
    std::function<absl::Status()> still_good = [] { return absl::OkStatus(); };
  };

  // Deletes itself when the stream is done.
  WatchStream(Engine& engine, const v1::WatchJobRequest& request, Options options);

 private:
  class Core;  // owners: this, the engine while it listens

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  std::shared_ptr<Core> core_;
};

}  // namespace pixelrec::coordinator
