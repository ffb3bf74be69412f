// One ReadJobLog call: finds the workers that may hold the log and asks them one after another.
//
// Threads: any; it keeps itself alive until it has answered.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/engine/engine.h"
#include "coordinator/service/log_requests.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::coordinator {

class LogRead : public std::enable_shared_from_this<LogRead> {
 public:
  using Done = std::function<void(absl::StatusOr<v1::ReadJobLogResponse>)>;

  // `done` is called once, from any thread.
  static void Begin(Engine& engine, LogRequests& logs, std::chrono::milliseconds timeout, const v1::ReadJobLogRequest& request,
                    Done done);

 private:
  LogRead(Engine& engine, LogRequests& logs, std::chrono::milliseconds timeout, Done done)
      : engine_(engine), logs_(logs), timeout_(timeout), done_(std::move(done)) {}

  // On the engine's thread.
  void Locate(const State& state, const v1::ReadJobLogRequest& request);
  void AskNext();
  // Anywhere.
  void OnAnswer(absl::StatusOr<v1::LogChunk> chunk);

  Engine& engine_;
  LogRequests& logs_;
  const std::chrono::milliseconds timeout_;
  const Done done_;
  v1::ReadLog ask_;
  std::vector<uint64_t> sessions_;  // still to ask, the likeliest last
  bool process_ended_ = false;
};

}  // namespace pixelrec::coordinator
