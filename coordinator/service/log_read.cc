#include "coordinator/service/log_read.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"

namespace pixelrec::coordinator {

namespace {

constexpr int kMaxBytes = 262144;

absl::Status NotFound(const std::string& message) { return rpc::Refuse(absl::StatusCode::kNotFound, rpc::kLogNotFound, message); }

}  // namespace

void LogRead::Begin(Engine& engine, LogRequests& logs, std::chrono::milliseconds timeout, const v1::ReadJobLogRequest& request,
                    Done done) {
  std::shared_ptr<LogRead> self(new LogRead(engine, logs, timeout, std::move(done)));
  engine.Read([self, request](const State* state, Now) {
    if (state == nullptr) {
      self->done_(Stopping());
    } else {
      self->Locate(*state, request);
    }
  });
}

void LogRead::Locate(const State& state, const v1::ReadJobLogRequest& request) {
  absl::StatusOr<uint64_t> number = FindJob(state, request.job());
  if (!number.ok()) {
    done_(number.status());
    return;
  }
  const JobEntry& entry = state.jobs.at(*number);
  const v1::Job& job = entry.job();
  if (job.generation() == 0 || request.generation() > job.generation()) {
    done_(NotFound(absl::StrCat("job ", job.job_id(), " has had ", job.generation(), " generations: there is no such log yet")));
    return;
  }
  ask_.set_job_id(job.job_id());
  ask_.set_generation(request.generation() == 0 ? job.generation() : request.generation());
  ask_.set_rank(request.rank());
  ask_.set_offset(request.offset());
  ask_.set_max_bytes(request.max_bytes() <= 0 ? kMaxBytes : std::min(request.max_bytes(), kMaxBytes));
  if (ask_.generation() == job.generation()) {
    const auto& ranks = entry.record.gang().ranks();
    auto rank = std::find_if(ranks.begin(), ranks.end(), [&](const GangRank& r) { return r.rank() == request.rank(); });
    if (rank == ranks.end()) {
      done_(NotFound(absl::StrCat("generation ", job.generation(), " of job ", job.job_id(), " has no rank ", request.rank(),
                                  ", only 0-", ranks.size() - 1)));
      return;
    }
    process_ended_ = rank->ended();
    auto worker = state.workers.find(rank->worker_id());
    if (worker == state.workers.end() || worker->second.session == 0) {
      done_(rpc::Refuse(absl::StatusCode::kUnavailable, rpc::kWorkerUnavailable,
                        absl::StrCat("worker ", rank->worker_id(), ", which holds this log, is not connected")));
      return;
    }
    sessions_.push_back(worker->second.session);
  } else {
    // Who ran an older generation isn't kept; the workers know what they hold.
    process_ended_ = true;
    for (const auto& [id, worker] : state.workers) {
      if (worker.session != 0) {
        sessions_.push_back(worker.session);
      }
    }
  }
  AskNext();
}

void LogRead::AskNext() {
  if (sessions_.empty()) {
    done_(
        NotFound(absl::StrCat("no connected worker holds the log of rank ", ask_.rank(), " of generation ", ask_.generation())));
    return;
  }
  const uint64_t session = sessions_.back();
  sessions_.pop_back();
  ask_.set_request(logs_.Open(
      session, timeout_, [self = shared_from_this()](absl::StatusOr<v1::LogChunk> chunk) { self->OnAnswer(std::move(chunk)); }));
  v1::SessionResponse message;
  *message.mutable_read_log() = ask_;
  engine_.SendTo(session, std::move(message));
}

void LogRead::OnAnswer(absl::StatusOr<v1::LogChunk> chunk) {
  if (chunk.ok() && chunk->error().empty()) {
    v1::ReadJobLogResponse response;
    response.set_next_offset(chunk->next_offset());
    response.set_ended(process_ended_ && static_cast<int>(chunk->data().size()) < ask_.max_bytes());
    response.set_data(std::move(*chunk->mutable_data()));
    done_(std::move(response));
  } else if (sessions_.empty()) {
    done_(chunk.ok() ? NotFound(chunk->error()) : chunk.status());
  } else {
    engine_.Read([self = shared_from_this()](const State* state, Now) {
      if (state != nullptr) {
        self->AskNext();
      } else {
        self->done_(Stopping());
      }
    });
  }
}

}  // namespace pixelrec::coordinator
