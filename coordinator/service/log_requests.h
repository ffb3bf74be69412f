// ReadJobLog calls that wait for a worker's LogChunk.
//
// Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include <grpcpp/alarm.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "pixelrec/v1/worker_service.pb.h"

namespace pixelrec::coordinator {

class LogRequests {
 public:
  using Done = std::function<void(absl::StatusOr<v1::LogChunk>)>;

  // A number for ReadLog.request. `done` is called once: with the chunk, or with UNAVAILABLE after `timeout`.
  uint64_t Open(uint64_t session, std::chrono::milliseconds timeout, Done done);
  // From the session that was asked; others are ignored.
  void Answer(uint64_t session, const v1::LogChunk& chunk);

 private:
  struct Waiting {
    uint64_t session = 0;
    Done done;
    std::shared_ptr<grpc::Alarm> alarm;  // owners: this, its own callback
  };
  bool Take(uint64_t request, uint64_t session, Waiting* waiting);

  absl::Mutex mu_;
  uint64_t last_request_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, Waiting> waiting_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixelrec::coordinator
