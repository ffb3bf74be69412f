// The agent's side towards the coordinator: the stream, registration, and the orders that come.
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/process/memory.h"
#include "common/rpc/reasons.h"
#include "worker/agent/agent.h"

namespace pixelrec::agent {
namespace {

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  return name;
}

}  // namespace

void Agent::Open() {
  const uint64_t number = ++stream_number_;
  outgoing_.clear();
  // A channel of its own for each attempt: one that failed would sit out gRPC's own back-off on top of ours, and a coordinator
  // that returned would be found too late for the lease.
  stub_ = v1::WorkerService::NewStub(dialer_->Dial());
  // A stream that was given up may still report: its number is no longer the current one.
  const auto current = [this, number] { return number == stream_number_; };
  ++live_streams_;
  stream_ = SessionStream::Open(*stub_, inbox_,
                                {.message =
                                     [this, current](const v1::SessionResponse& response) {
                                       if (current() && stream_ != nullptr) OnResponse(response);
                                     },
                                 .written =
                                     [this, current] {
                                       if (!current() || stream_ == nullptr) return;
                                       stream_->OnWritten();
                                       WriteNext();
                                     },
                                 .broken =
                                     [this, current] {
                                       if (!current() || stream_ == nullptr) return;
                                       std::exchange(stream_, nullptr)->Release(/*cancel=*/false);
                                     },
                                 .closed =
                                     [this, current](const absl::Status& status) {
                                       --live_streams_;
                                       if (current()) OnStreamClosed(status);
                                     }});
  Register();
}

void Agent::Drop() {
  ++stream_number_;
  outgoing_.clear();
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Release(/*cancel=*/true);
}

void Agent::OnStreamClosed(const absl::Status& status) {
  const bool was_registered = session_.state() == Session::State::kRegistered;
  session_.OnClosed(options_.now());
  if (absl::IsAborted(status) && rpc::ReasonOf(status) == rpc::kStaleIncarnation) {
    // Two daemons with one id would take each other's ranks: the older one leaves, its trainer first.
    result_ = absl::AbortedError(absl::StrCat("worker id '", options_.config.worker_id,
                                              "' is used by a newer worker; give each worker an id of its own with --worker-id"));
    stopping_ = true;
    Do(slot_.StopFor("a newer worker took over", /*leaving=*/true, options_.now()));
    if (trainer_ != nullptr) trainer_->Kill();
    return;
  }
  if (was_registered || !std::exchange(said_unreachable_, true)) {
    options_.log(
        absl::StrCat(was_registered ? "lost the session with the coordinator at " : "can't register at the coordinator at ",
                     options_.config.coordinator, ": ", std::string(status.message()), "; keeps trying"));
  }
  Ready();
}

void Agent::Ready() {
  if (!std::exchange(ready_, true)) options_.on_ready();
}

void Agent::Register() {
  v1::SessionRequest request;
  v1::RegisterWorker& worker = *request.mutable_register_();
  worker.set_host(HostName());
  worker.set_advertise_address(options_.config.advertise_address);
  worker.set_pid(getpid());
  worker.set_version(options_.version);
  worker.set_device(options_.config.device);
  worker.set_memory_bytes(process::HostMemoryBytes());
  worker.set_metrics_address(options_.metrics_address);
  if (const std::optional<v1::RunningRank> running = slot_.running()) *worker.add_running() = *running;
  Enqueue(std::move(request));
}

void Agent::Enqueue(v1::SessionRequest request) {
  outgoing_.push_back(std::move(request));
  WriteNext();
}

// Control messages first, so that a long queue of reports can't cost the lease; reports only in a registered session.
void Agent::WriteNext() {
  if (stream_ == nullptr || !stream_->writable()) return;
  v1::SessionRequest request;
  if (!outgoing_.empty()) {
    request = std::move(outgoing_.front());
    outgoing_.pop_front();
  } else if (session_.state() == Session::State::kRegistered) {
    std::optional<v1::RankReport> report = reports_.TakeNext();
    if (!report.has_value()) return;
    *request.mutable_rank_report() = *std::move(report);
  } else {
    return;
  }
  request.set_worker_id(options_.config.worker_id);
  request.set_incarnation(options_.incarnation);
  stream_->Write(std::move(request));
}

void Agent::OnResponse(const v1::SessionResponse& response) {
  const Time now = options_.now();
  session_.OnHeard(now);
  switch (response.body_case()) {
    case v1::SessionResponse::kRegistered:
      session_.OnRegistered(response.registered(), now);
      hang_watch_.OnRegistered(response.registered());
      reports_.Rewind();
      orphaned_ = said_unreachable_ = false;
      options_.log(absl::StrCat("registered at ", options_.config.coordinator));
      Ready();
      break;
    case v1::SessionResponse::kStartRank:
      OnStartRank(response.start_rank());
      break;
    case v1::SessionResponse::kStopRank:
      if (Admit(response.stop_rank().job_id(), response.stop_rank().generation(), "StopRank"))
        Do(slot_.OnStop(response.stop_rank(), now));
      break;
    case v1::SessionResponse::kSetRendezvous:
      if (Admit(response.set_rendezvous().job_id(), response.set_rendezvous().generation(), "SetRendezvous")) {
        Do(slot_.OnRendezvous(response.set_rendezvous()));
      }
      break;
    case v1::SessionResponse::kCommitArtifact:
      OnCommit(response.commit_artifact());
      break;
    case v1::SessionResponse::kReportAck:
      reports_.Acknowledge(response.report_ack());
      break;
    case v1::SessionResponse::kReadLog:
      OnReadLog(response.read_log());
      break;
    case v1::SessionResponse::kBeatAck:
    case v1::SessionResponse::BODY_NOT_SET:  // of a newer version
      break;
  }
  WriteNext();
}

// An order to end an old generation still counts where that generation is what runs here: it can only do what the fence wants.
bool Agent::Admit(const std::string& job_id, uint64_t generation, absl::string_view what) {
  switch (fence_.Admit(job_id, generation)) {
    case GenerationFence::Verdict::kOlder:
      options_.log(
          absl::StrCat("refused ", std::string(what), " of job ", job_id, " generation ", generation, ": a newer one is known"));
      return false;
    case GenerationFence::Verdict::kNewer:
      reports_.ForgetOlder(job_id, generation);
      return true;
    case GenerationFence::Verdict::kCurrent:
      return true;
  }
  return false;
}

void Agent::OnStartRank(v1::StartRank order) {
  if (!Admit(order.job_id(), order.generation(), "StartRank")) return;
  if (!fence_.MarkStarted(order.job_id())) return;  // repeated: it runs, or its exit is on its way
  v1::TrainerPlan& plan = *order.mutable_plan();
  plan.set_dataset_cache_dir(options_.config.dataset_cache_dir.string());
  plan.set_host_address(options_.config.advertise_address);
  if (options_.config.threads > 0) plan.set_threads(options_.config.threads);
  Do(slot_.OnStart(order));
}

void Agent::OnCommit(const v1::CommitArtifact& order) {
  if (!Admit(order.job_id(), order.generation(), "CommitArtifact")) return;
  metrics_.OnCommitOrdered(order.artifact(), options_.now());
  disk_.Post([this, order] {
    if (failed_orders_.Contains(order)) return;  // the report of it is on its way
    const Publication publication = Publish(order, allowed_);
    if (!publication.status.ok()) failed_orders_.Add(order);
    inbox_->Post([this, order, publication] { OnPublished(order, publication); });
  });
}

void Agent::OnPublished(const v1::CommitArtifact& order, const Publication& publication) {
  v1::RankReport report;
  SetKey(KeyOf(order), report);
  for (const std::string& complaint : publication.complaints) options_.log(complaint);
  if (publication.status.ok()) {
    *report.mutable_artifact_published() = order.artifact();
    metrics_.OnPublished(order.artifact(), publication.seconds, options_.wall());
    Do(slot_.OnCommitted(KeyOf(order), order.artifact()));
  } else {
    options_.log(publication.status.message());
    *report.mutable_publish_failed() = PublishFailure(publication.status);
    report.mutable_publish_failed()->set_rank(order.rank());
    report.mutable_publish_failed()->set_worker_id(options_.config.worker_id);
    report.mutable_publish_failed()->set_generation(order.generation());
    report.mutable_publish_failed()->set_checkpoint(order.artifact().path());
    metrics_.OnPublishFailed(CheckpointFailureReason(publication.status));
  }
  Do({Deliver{std::move(report)}});
}

void Agent::OnReadLog(const v1::ReadLog& request) {
  disk_.Post([this, request] {
    inbox_->Post([this, chunk = logs_.Read(request)] {
      v1::SessionRequest answer;
      *answer.mutable_log_chunk() = chunk;
      Enqueue(std::move(answer));
    });
  });
}

}  // namespace pixelrec::agent
