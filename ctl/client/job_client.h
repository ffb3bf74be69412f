// JobService as pixelrecctl calls it: every call has a deadline, and a call that may be repeated is, for as long as the
// coordinator may be on its way back.
//
// Threads: one at a time, except that a stream is cancelled from any thread.
// Errors: the coordinator's status; UNAVAILABLE "no coordinator at ADDRESS ..." where there is none;
// UNAUTHENTICATED where one side doesn't take the other's certificate.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/config/security.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::rpc {
class Dialer;
}

namespace pixelrec::ctl {

class JobClient {
 public:
  struct Options {
    std::string server;  // host:port
    config::ClientSecurity security = {};
    absl::Duration timeout = absl::Seconds(10);
    // How long UNAVAILABLE is answered with another try: short where nothing says that a coordinator exists, longer where a
    // supervisor is bringing it back.
    absl::Duration retry_for = absl::Milliseconds(300);
  };
  // One message of a stream; false ends it.
  template <typename Response>
  using OnMessage = std::function<bool(const Response&)>;
  using OnUpdate = OnMessage<v1::WatchJobResponse>;

  // Connects with the first call. Errors as rpc::Dialer::Create().
  static absl::StatusOr<std::unique_ptr<JobClient>> Open(Options options);
  ~JobClient();

  absl::StatusOr<v1::Job> Submit(const v1::SubmitJobRequest& request);
  absl::StatusOr<v1::Job> Get(const std::string& job);
  // All pages up to `limit` jobs; `more` says whether there are others.
  absl::StatusOr<v1::ListJobsResponse> List(const v1::ListJobsRequest& request, int limit);
  absl::StatusOr<v1::Job> Cancel(const v1::CancelJobRequest& request);
  absl::StatusOr<v1::Job> Pause(const v1::PauseJobRequest& request);
  absl::StatusOr<v1::Job> Resume(const v1::ResumeJobRequest& request);
  absl::StatusOr<v1::DeleteJobResponse> Delete(const v1::DeleteJobRequest& request);
  absl::StatusOr<v1::ListJobEventsResponse> Events(const std::string& job, uint64_t after_sequence);
  // All pages up to `limit`, newest first.
  absl::StatusOr<v1::ListCheckpointsResponse> Checkpoints(const std::string& job, int limit);
  absl::StatusOr<v1::ReadJobLogResponse> ReadLog(const v1::ReadJobLogRequest& request);
  absl::StatusOr<v1::ListWorkersResponse> Workers();
  absl::StatusOr<v1::Worker> Drain(const v1::DrainWorkerRequest& request);
  absl::StatusOr<v1::Worker> Undrain(const v1::UndrainWorkerRequest& request);

  // One WatchJob stream: OK when the coordinator ends it because the job has ended, CANCELLED when `stop` or `on_update` ended
  // it. Not repeated here; see JobFollower.
  absl::Status Watch(const v1::WatchJobRequest& request, const OnUpdate& on_update, std::stop_token stop);

  // One StreamMetrics stream, in the same way: OK at the end of the series.
  absl::Status StreamMetrics(const v1::StreamMetricsRequest& request, const OnMessage<v1::StreamMetricsResponse>& on_message,
                             std::stop_token stop);

  const std::string& server() const { return options_.server; }

 private:
  struct Stub;  // keeps gRPC's headers out of the commands
  JobClient(Options options, std::unique_ptr<rpc::Dialer> dialer);
  // Between calls nobody polls a channel's connection, so one that found nobody comes up seconds late; a new one connects within
  // its first call.
  void Reconnect();
  template <typename Response, typename Method, typename Request>
  absl::StatusOr<Response> Call(Method method, const Request& request);
  template <typename Response, typename Method, typename Request>
  absl::Status Stream(Method method, const Request& request, const OnMessage<Response>& on_message, std::stop_token stop);

  const Options options_;
  const std::unique_ptr<rpc::Dialer> dialer_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace pixelrec::ctl
