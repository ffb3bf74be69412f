#include "ctl/client/job_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "pixelrec/v1/job_service.grpc.pb.h"

namespace pixelrec::ctl {
namespace {

// A page of these stays well below what a client takes in one message.
constexpr int kPageSize = 500;
// Long enough that a stream is rarely reopened, short enough that a forgotten one ends.
constexpr absl::Duration kStreamDeadline = absl::Hours(1);
constexpr absl::Duration kRetryPause = absl::Milliseconds(100);

// gRPC's own words for a connection that can't be made say little to a user. With TLS, there are two who may not like the other's
// certificate: the client says so at once, the server by closing the connection when its client believes the handshake done.
absl::Status ExplainTransport(absl::string_view words, const JobClient::Options& options) {
  const config::ClientSecurity& security = options.security;
  const bool closed = !absl::StrContains(words, "refused") && !absl::StrContains(words, "DNS");
  if (security.tls_ca.empty()) {
    return absl::UnavailableError(absl::StrCat("no coordinator answers at ", options.server,
                                               closed ? " (if it speaks TLS, name its CA with --tls-ca)" : ""));
  }
  if (absl::StrContains(words, "handshake failed") || absl::StrContains(words, "peer certificate")) {
    return absl::UnauthenticatedError(absl::StrCat("the TLS handshake with ", options.server,
                                                   " failed: its certificate must be signed by ", security.tls_ca.string(),
                                                   ", be for this name, and be valid today"));
  }
  if (closed && !security.tls_cert.empty()) {
    return absl::UnauthenticatedError(
        absl::StrCat(options.server, " closed the connection after the TLS handshake: it doesn't take the certificate ",
                     security.tls_cert.string(), ", which must be signed by a CA of its tls_client_ca"));
  }
  return absl::UnavailableError(absl::StrCat("no coordinator answers at ", options.server, " with TLS"));
}

// What a user reads of a failed call.
absl::Status Explain(const grpc::Status& status, const JobClient::Options& options) {
  if (status.ok()) return absl::OkStatus();
  const absl::Status received = rpc::FromGrpc(status);
  // The coordinator's own errors carry a reason.
  const bool transport = absl::IsUnavailable(received) && rpc::ReasonOf(received).empty();
  if (transport) return ExplainTransport(received.message(), options);
  if (absl::IsDeadlineExceeded(received)) {
    return absl::DeadlineExceededError(
        absl::StrCat("the coordinator at ", options.server, " did not answer in ", absl::FormatDuration(options.timeout)));
  }
  return received;
}

}  // namespace

struct JobClient::Stub {
  explicit Stub(const std::shared_ptr<grpc::Channel>& channel) : jobs(v1::JobService::NewStub(channel)) {}
  std::unique_ptr<v1::JobService::Stub> jobs;
};

JobClient::JobClient(Options options, std::unique_ptr<rpc::Dialer> dialer)
    : options_(std::move(options)), dialer_(std::move(dialer)), stub_(std::make_unique<Stub>(dialer_->Dial())) {}
JobClient::~JobClient() = default;

absl::StatusOr<std::unique_ptr<JobClient>> JobClient::Open(Options options) {
  auto dialer = rpc::Dialer::Create({.address = options.server, .security = options.security});
  if (!dialer.ok()) return dialer.status();
  return std::unique_ptr<JobClient>(new JobClient(std::move(options), *std::move(dialer)));
}

void JobClient::Reconnect() { stub_ = std::make_unique<Stub>(dialer_->Dial()); }

template <typename Response, typename Method, typename Request>
absl::StatusOr<Response> JobClient::Call(Method method, const Request& request) {
  const absl::Time give_up = absl::Now() + options_.retry_for;
  while (true) {
    grpc::ClientContext context;
    rpc::SetDeadline(context, absl::ToChronoMilliseconds(options_.timeout));
    Response response;
    const grpc::Status status = (stub_->jobs.get()->*method)(&context, request, &response);
    if (status.ok()) return response;
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || absl::Now() + kRetryPause > give_up)
      return Explain(status, options_);
    absl::SleepFor(kRetryPause);
    Reconnect();
  }
}

absl::StatusOr<v1::Job> JobClient::Submit(const v1::SubmitJobRequest& request) {
  auto response = Call<v1::SubmitJobResponse>(&v1::JobService::Stub::SubmitJob, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_job());
}

absl::StatusOr<v1::Job> JobClient::Get(const std::string& job) {
  v1::GetJobRequest request;
  request.set_job(job);
  auto response = Call<v1::GetJobResponse>(&v1::JobService::Stub::GetJob, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_job());
}

absl::StatusOr<v1::ListJobsResponse> JobClient::List(const v1::ListJobsRequest& request, int limit) {
  v1::ListJobsRequest page = request;
  v1::ListJobsResponse all;
  do {
    page.set_page_size(std::min(limit - all.jobs_size(), kPageSize));
    auto response = Call<v1::ListJobsResponse>(&v1::JobService::Stub::ListJobs, page);
    if (!response.ok()) return response.status();
    all.mutable_jobs()->MergeFrom(response->jobs());
    all.set_next_page_token(response->next_page_token());
    page.set_page_token(response->next_page_token());
  } while (!page.page_token().empty() && all.jobs_size() < limit);
  return all;
}

absl::StatusOr<v1::Job> JobClient::Cancel(const v1::CancelJobRequest& request) {
  auto response = Call<v1::CancelJobResponse>(&v1::JobService::Stub::CancelJob, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_job());
}

absl::StatusOr<v1::Job> JobClient::Pause(const v1::PauseJobRequest& request) {
  auto response = Call<v1::PauseJobResponse>(&v1::JobService::Stub::PauseJob, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_job());
}

absl::StatusOr<v1::Job> JobClient::Resume(const v1::ResumeJobRequest& request) {
  auto response = Call<v1::ResumeJobResponse>(&v1::JobService::Stub::ResumeJob, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_job());
}

absl::StatusOr<v1::DeleteJobResponse> JobClient::Delete(const v1::DeleteJobRequest& request) {
  return Call<v1::DeleteJobResponse>(&v1::JobService::Stub::DeleteJob, request);
}

absl::StatusOr<v1::Worker> JobClient::Drain(const v1::DrainWorkerRequest& request) {
  auto response = Call<v1::DrainWorkerResponse>(&v1::JobService::Stub::DrainWorker, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_worker());
}

absl::StatusOr<v1::Worker> JobClient::Undrain(const v1::UndrainWorkerRequest& request) {
  auto response = Call<v1::UndrainWorkerResponse>(&v1::JobService::Stub::UndrainWorker, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_worker());
}

absl::StatusOr<v1::ListJobEventsResponse> JobClient::Events(const std::string& job, uint64_t after_sequence) {
  v1::ListJobEventsRequest page;
  page.set_job(job);
  page.set_after_sequence(after_sequence);
  v1::ListJobEventsResponse all;
  do {
    auto response = Call<v1::ListJobEventsResponse>(&v1::JobService::Stub::ListJobEvents, page);
    if (!response.ok()) return response.status();
    all.mutable_events()->MergeFrom(response->events());
    page.set_after_sequence(response->next_after_sequence());
  } while (page.after_sequence() != 0);
  return all;
}

absl::StatusOr<v1::ListCheckpointsResponse> JobClient::Checkpoints(const std::string& job, int limit) {
  v1::ListCheckpointsRequest page;
  page.set_job(job);
  v1::ListCheckpointsResponse all;
  do {
    page.set_page_size(std::min(limit - all.checkpoints_size(), kPageSize));
    auto response = Call<v1::ListCheckpointsResponse>(&v1::JobService::Stub::ListCheckpoints, page);
    if (!response.ok()) return response.status();
    all.mutable_checkpoints()->MergeFrom(response->checkpoints());
    all.set_next_page_token(response->next_page_token());
    page.set_page_token(response->next_page_token());
  } while (!page.page_token().empty() && all.checkpoints_size() < limit);
  return all;
}

absl::StatusOr<v1::ReadJobLogResponse> JobClient::ReadLog(const v1::ReadJobLogRequest& request) {
  return Call<v1::ReadJobLogResponse>(&v1::JobService::Stub::ReadJobLog, request);
}

absl::StatusOr<v1::ListWorkersResponse> JobClient::Workers() {
  v1::ListWorkersRequest page;
  page.set_page_size(kPageSize);
  v1::ListWorkersResponse all;
  do {
    auto response = Call<v1::ListWorkersResponse>(&v1::JobService::Stub::ListWorkers, page);
    if (!response.ok()) return response.status();
    all.mutable_workers()->MergeFrom(response->workers());
    page.set_page_token(response->next_page_token());
  } while (!page.page_token().empty());
  return all;
}

template <typename Response, typename Method, typename Request>
absl::Status JobClient::Stream(Method method, const Request& request, const OnMessage<Response>& on_message,
                               std::stop_token stop) {
  grpc::ClientContext context;
  rpc::SetDeadline(context, absl::ToChronoMilliseconds(kStreamDeadline));
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  std::unique_ptr<grpc::ClientReader<Response>> reader = (stub_->jobs.get()->*method)(&context, request);
  Response response;
  bool ended_here = false;
  while (reader->Read(&response)) {
    if (!ended_here && !on_message(response)) {
      ended_here = true;
      context.TryCancel();
    }
  }
  const grpc::Status status = reader->Finish();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) Reconnect();
  if (ended_here || stop.stop_requested()) return absl::CancelledError("ended by the reader");
  return Explain(status, options_);
}

absl::Status JobClient::Watch(const v1::WatchJobRequest& request, const OnUpdate& on_update, std::stop_token stop) {
  return Stream<v1::WatchJobResponse>(&v1::JobService::Stub::WatchJob, request, on_update, std::move(stop));
}

absl::Status JobClient::StreamMetrics(const v1::StreamMetricsRequest& request,
                                      const OnMessage<v1::StreamMetricsResponse>& on_message, std::stop_token stop) {
  return Stream<v1::StreamMetricsResponse>(&v1::JobService::Stub::StreamMetrics, request, on_message, std::move(stop));
}

}  // namespace pixelrec::ctl
