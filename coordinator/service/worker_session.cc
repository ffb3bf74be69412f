#include "coordinator/service/worker_session.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "common/rpc/status.h"

namespace pixelrec::coordinator {

namespace {

// A worker that doesn't take this many messages is as good as gone; it learns all again when it registers.
constexpr size_t kMaxQueued = 4096;
constexpr size_t kMaxWorkerId = 63;

bool IsWorkerId(const std::string& id) {
  return !id.empty() && id.size() <= kMaxWorkerId && absl::ascii_isalnum(static_cast<unsigned char>(id.front())) &&
         std::all_of(id.begin(), id.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == ':'; });
}

}  // namespace

class WorkerSession::Sink final : public WorkerSink {
 public:
  explicit Sink(WorkerSession* stream) : stream_(stream) {}

  void Send(v1::SessionResponse message) override {
    absl::MutexLock lock(&mu_);
    if (stream_ == nullptr || closing_) {
      return;
    }
    if (queue_.size() >= kMaxQueued) {
      CloseLocked(rpc::Refuse(absl::StatusCode::kResourceExhausted, rpc::kReaderTooSlow,
                              "the worker doesn't take what it is sent: register again"));
      return;
    }
    queue_.push_back(std::move(message));
    if (!writing_) {
      WriteLocked();
    }
  }

  void Close(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    CloseLocked(status);
  }

  void ReadNext() {
    absl::MutexLock lock(&mu_);
    if (stream_ != nullptr && !closing_) {
      stream_->StartRead(&stream_->request_);
    }
  }

  void WriteDone(bool ok) {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    queue_.pop_front();
    if (!ok) {
      queue_.clear();
      CloseLocked(absl::CancelledError("the worker has gone"));
    }
    if (!queue_.empty()) {
      WriteLocked();
    } else if (closing_) {
      FinishLocked();
    }
  }

  // The worker has closed its half or vanished: what is queued is for nobody.
  void Abandon() {
    absl::MutexLock lock(&mu_);
    if (queue_.size() > 1) {
      queue_.erase(queue_.begin() + (writing_ ? 1 : 0), queue_.end());
    }
    CloseLocked(absl::OkStatus());
  }

  void Detach() {
    absl::MutexLock lock(&mu_);
    stream_ = nullptr;
  }

 private:
  void WriteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    writing_ = true;
    stream_->StartWrite(&queue_.front());
  }

  void CloseLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (closing_ || stream_ == nullptr) {
      return;
    }
    closing_ = true;
    status_ = status;
    if (!writing_) {
      FinishLocked();
    }
  }

  void FinishLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!finished_ && stream_ != nullptr) {
      finished_ = true;
      stream_->Finish(rpc::ToGrpc(status_));
    }
  }

  absl::Mutex mu_;
  WorkerSession* stream_ ABSL_GUARDED_BY(mu_);                  // null once the stream is done
  std::deque<v1::SessionResponse> queue_ ABSL_GUARDED_BY(mu_);  // the front is being written
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

WorkerSession::WorkerSession(Engine& engine, LogRequests& logs, Gate& gate, const grpc::CallbackServerContext& context)
    : engine_(engine),
      logs_(logs),
      gate_(gate),
      call_{.method = MethodOf<v1::SessionRequest>(), .peer = context.peer()},
      sink_(std::make_shared<Sink>(this)) {
  if (absl::Status status = gate_.Admit(context, call_); !status.ok()) {
    Reject(status);
  } else {
    sink_->ReadNext();
  }
}

void WorkerSession::OnReadDone(bool ok) {
  if (!ok) {
    sink_->Abandon();
  } else if (session_ == 0) {
    OnFirst();
  } else {
    OnMessage();
  }
}

void WorkerSession::Reject(const absl::Status& status) { sink_->Close(status); }

void WorkerSession::OnFirst() {
  if (!request_.has_register_()) {
    Reject(
        rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kBadRequest, "the first message of a session must be `register`"));
    return;
  }
  if (!IsWorkerId(request_.worker_id())) {
    Reject(rpc::Refuse(
        absl::StatusCode::kInvalidArgument, rpc::kBadRequest,
        absl::StrCat("worker_id must be 1-", kMaxWorkerId, " letters, digits or any of -_.: and begin with a letter or digit")));
    return;
  }
  worker_id_ = request_.worker_id();
  incarnation_ = request_.incarnation();
  if (absl::Status status = CheckIdentity(); !status.ok()) {
    Reject(status);
    return;
  }
  session_ = engine_.NewSession();
  engine_.Register({.worker_id = worker_id_, .incarnation = incarnation_, .session = session_, .info = request_.register_()},
                   sink_, [sink = sink_] { sink->ReadNext(); });
}

absl::Status WorkerSession::CheckIdentity() {
  call_.worker_id = worker_id_;
  absl::Status status;
  if (!call_.caller.MayRegisterAs(worker_id_)) {
    status =
        rpc::Refuse(absl::StatusCode::kPermissionDenied, rpc::kWorkerIdOfAnother,
                    absl::StrCat("this certificate or token is for the worker '", call_.caller.name, "', not for '", worker_id_,
                                 "': start the worker with that --worker-id, or give it a certificate or token of its own"));
  }
  gate_.Record(call_, status);
  return status;
}

void WorkerSession::OnMessage() {
  auto next = [sink = sink_] { sink->ReadNext(); };
  // Beats come twice a second, so that a revoked token ends a session within one.
  if (absl::Status status = gate_.StillGood(call_.caller); !status.ok()) {
    gate_.Record(call_, status);
    Reject(status);
    return;
  }
  if (request_.worker_id() != worker_id_ || request_.incarnation() != incarnation_) {
    Reject(rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kBadRequest,
                       "worker_id and incarnation can't change within a session"));
    return;
  }
  switch (request_.body_case()) {
    case v1::SessionRequest::kBeat:
      engine_.Tell(WorkerBeat{worker_id_,
                              session_,
                              request_.beat().number(),
                              {request_.beat().positions().begin(), request_.beat().positions().end()}},
                   next);
      break;
    case v1::SessionRequest::kRankReport:
      engine_.Tell(RankReported{worker_id_, session_, std::move(*request_.mutable_rank_report())}, next);
      break;
    case v1::SessionRequest::kLogChunk:
      logs_.Answer(session_, request_.log_chunk());
      next();
      break;
    default:
      Reject(rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kBadRequest,
                         "a session has one `register`, and no empty message"));
  }
}

void WorkerSession::OnWriteDone(bool ok) { sink_->WriteDone(ok); }

void WorkerSession::OnCancel() { sink_->Abandon(); }

void WorkerSession::OnDone() {
  sink_->Detach();
  if (session_ != 0) {
    engine_.Tell(WorkerDisconnected{worker_id_, session_}, nullptr);
  }
  delete this;
}

}  // namespace pixelrec::coordinator
