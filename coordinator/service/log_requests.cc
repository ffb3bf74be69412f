#include "coordinator/service/log_requests.h"

#include <memory>
#include <utility>

#include "common/rpc/reasons.h"

namespace pixelrec::coordinator {

uint64_t LogRequests::Open(uint64_t session, std::chrono::milliseconds timeout, Done done) {
  auto alarm = std::make_shared<grpc::Alarm>();
  uint64_t request;
  {
    absl::MutexLock lock(&mu_);
    request = ++last_request_;
    waiting_[request] = Waiting{session, std::move(done), alarm};
  }
  alarm->Set(std::chrono::system_clock::now() + timeout, [this, request, session, alarm](bool) mutable {
    // The alarm keeps its callback, which keeps the alarm: let go of it here, or neither is ever freed.
    const std::shared_ptr<grpc::Alarm> fired = std::move(alarm);
    Waiting waiting;
    if (Take(request, session, &waiting)) {
      waiting.done(rpc::Refuse(absl::StatusCode::kUnavailable, rpc::kWorkerUnavailable,
                               "the worker that holds this log doesn't answer: try again"));
    }
  });
  return request;
}

void LogRequests::Answer(uint64_t session, const v1::LogChunk& chunk) {
  Waiting waiting;
  if (Take(chunk.request(), session, &waiting)) {
    waiting.alarm->Cancel();
    waiting.done(chunk);
  }
}

bool LogRequests::Take(uint64_t request, uint64_t session, Waiting* waiting) {
  absl::MutexLock lock(&mu_);
  auto it = waiting_.find(request);
  if (it == waiting_.end() || it->second.session != session) {
    return false;
  }
  *waiting = std::move(it->second);
  waiting_.erase(it);
  return true;
}

}  // namespace pixelrec::coordinator
