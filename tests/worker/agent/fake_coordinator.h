// A coordinator without a mind: a real gRPC server on loopback that records what a worker sends and says what the test tells it
// to.
//
// Threads: any. Every Await gives up after 20 s, which only happens when something is broken.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <grpcpp/server.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "pixelrec/v1/worker_service.grpc.pb.h"

namespace pixelrec::agent {

class FakeCoordinator : private v1::WorkerService::Service {
 public:
  struct Terms {
    int lease_ms = 2000;
    int beat_ms = 100;
    int orphan_ms = 600'000;
    int hang_floor_ms = 5000;
  };

  FakeCoordinator() : FakeCoordinator(Terms{}) {}
  explicit FakeCoordinator(Terms terms) : terms_(terms) { Start(); }
  ~FakeCoordinator() { Stop(); }

  // host:port, the same over every Stop and Start.
  const std::string& address() const { return address_; }
  void Start();
  // As kill -9 looks to a worker: the connection breaks.
  void Stop();

  // Whether reports and beats are acknowledged from now on (yes at first).
  void AcknowledgeReports(bool yes);
  void AcknowledgeBeats(bool yes);
  // Ends the open session with this status.
  void CloseSession(const grpc::Status& status);

  // Sends to the newest session; waits for one if there is none.
  void Send(const v1::SessionResponse& response);

  // Registrations and reports are handed out once each, in order of arrival.
  v1::SessionRequest AwaitRegistration();
  // The first report not yet taken that `wanted` likes; those before it stay.
  v1::RankReport AwaitReport(const std::function<bool(const v1::RankReport&)>& wanted);
  v1::LogChunk AwaitLogChunk();
  void AwaitBeats(int more);
  // The newest, once there is any.
  v1::Beat AwaitBeat();
  // All reports, repeats included, in order of arrival.
  std::vector<v1::RankReport> reports();
  bool HasSession();
  void AwaitNoSession();

 private:
  using Stream = grpc::ServerReaderWriter<v1::SessionResponse, v1::SessionRequest>;
  grpc::Status Session(grpc::ServerContext* context, Stream* stream) override;
  void Record(const v1::SessionRequest& request, Stream* stream) ABSL_LOCKS_EXCLUDED(mutex_);
  void Await(const std::function<bool()>& condition, const char* what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Terms terms_;
  std::string address_ = "127.0.0.1:0";
  std::unique_ptr<grpc::Server> server_;

  absl::Mutex mutex_;
  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::optional<grpc::Status> close_with_ ABSL_GUARDED_BY(mutex_);
  bool acknowledge_reports_ ABSL_GUARDED_BY(mutex_) = true;
  bool acknowledge_beats_ ABSL_GUARDED_BY(mutex_) = true;
  std::deque<v1::SessionRequest> registrations_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::RankReport> new_reports_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::RankReport> all_reports_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::LogChunk> chunks_ ABSL_GUARDED_BY(mutex_);
  int beats_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::Beat newest_beat_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace pixelrec::agent
