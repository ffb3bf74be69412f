#include "coordinator/service/watch_stream.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "coordinator/service/stream_end.h"
#include "coordinator/state/view.h"
#include "google/protobuf/util/message_differencer.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

namespace {

// Events fetched from the state at once.
constexpr size_t kFetch = 64;

}  // namespace

class WatchStream::Core final : public JobListener, public std::enable_shared_from_this<Core> {
 public:
  Core(WatchStream* stream, Engine& engine, const v1::WatchJobRequest& request, Options options)
      : end_(stream), engine_(engine), name_(request.job()), options_(std::move(options)), cursor_(request.after_sequence()) {}

  void Begin() {
    engine_.Read([self = shared_from_this()](const State* state, Now now) {
      if (state == nullptr) {
        self->Stopped(Stopping());
        return;
      }
      absl::StatusOr<uint64_t> number = FindJob(*state, self->name_);
      if (!number.ok()) {
        self->Stopped(number.status());
        return;
      }
      {
        absl::MutexLock lock(&self->mu_);
        if (!self->end_.open()) {
          return;
        }
        self->number_ = *number;
        self->fetching_ = true;
      }
      self->engine_.Listen(*number, self);
      self->Fetch(*state, now);
    });
  }

  void Changed(uint64_t durable_events) override {
    absl::MutexLock lock(&mu_);
    // News that was not fetched yet and brought no event was progress, which this newer progress replaces.
    if (news_ && durable_events == announced_) {
      engine_.CountDropped("coalesced", 1);
    }
    announced_ = durable_events;
    news_ = true;
    if (end_.writing() && end_.open() && durable_events > lag_base_ + options_.max_lag) {
      engine_.CountDropped("slow_reader", durable_events - taken_);
      end_.End(rpc::Refuse(absl::StatusCode::kResourceExhausted, rpc::kReaderTooSlow,
                           absl::StrCat("this reader took nothing while ", durable_events - lag_base_,
                                        " events happened: watch again with after_sequence ", taken_)));
      return;
    }
    PumpLocked();
  }

  void Stopped(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    end_.End(status);
  }

  void WriteDone(bool ok) {
    absl::MutexLock lock(&mu_);
    taken_ = std::max(taken_, buffer_.front().event().sequence());
    buffer_.pop_front();
    end_.OnWritten(ok);
    PumpLocked();
  }

  void Cancelled() {
    absl::MutexLock lock(&mu_);
    end_.End(absl::CancelledError("the reader has gone"));
  }

  // The stream is done: no use of it from here on.
  void Detach() {
    uint64_t number;
    {
      absl::MutexLock lock(&mu_);
      end_.Detach();
      number = number_;
    }
    if (number != 0) {
      engine_.Unlisten(number, shared_from_this());
    }
  }

 private:
  // Writes what is buffered, fetches what is new.
  void PumpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!end_.may_write()) {
      return;
    }
    if (!buffer_.empty()) {
      lag_base_ = length_;
      end_.Write(&buffer_.front());
    } else if (complete_) {
      end_.End(absl::OkStatus());
    } else if (news_ && !fetching_) {
      fetching_ = true;
      engine_.Read([self = shared_from_this()](const State* state, Now now) {
        if (state != nullptr) {
          self->Fetch(*state, now);
        }
      });
    }
  }

  // On the engine's thread.
  void Fetch(const State& state, Now now) {
    absl::MutexLock lock(&mu_);
    fetching_ = false;
    news_ = false;
    auto it = state.jobs.find(number_);
    if (it == state.jobs.end()) {
      end_.End(rpc::Refuse(absl::StatusCode::kNotFound, rpc::kJobNotFound, absl::StrCat("job '", name_, "' was deleted")));
      return;
    }
    if (!end_.open()) {
      return;
    }
    if (absl::Status status = options_.still_good(); !status.ok()) {
      end_.End(status);
      return;
    }
    const JobEntry& entry = it->second;
    length_ = entry.events.size();
    const bool whole = length_ <= cursor_ + kFetch;
    while (cursor_ < length_ && buffer_.size() < kFetch) {
      const v1::JobEvent& event = entry.events[cursor_++];
      v1::WatchJobResponse& response = buffer_.emplace_back();
      *response.mutable_event() = event;
      if (first_ || event.has_state_change()) {
        *response.mutable_job() = JobAsOf(state, entry, event.sequence(), now);
      }
      first_ = false;
    }
    if (whole && entry.progress.has_value() && !entry.ended() &&
        !google::protobuf::util::MessageDifferencer::Equals(*entry.progress, last_progress_)) {
      v1::WatchJobResponse& response = buffer_.emplace_back();
      *response.mutable_event()->mutable_time() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(now.wall.count());
      response.mutable_event()->set_job_id(entry.job().job_id());
      response.mutable_event()->set_generation(entry.job().generation());
      *response.mutable_event()->mutable_progress() = *entry.progress;
      *response.mutable_job() = ViewJob(state, entry, now);
      last_progress_ = *entry.progress;
      first_ = false;
    }
    news_ = news_ || !whole;
    complete_ = whole && entry.ended();
    PumpLocked();
  }

  // The job with the state that it had after event `sequence`; an old state must not look like the end to who reads on.
  static v1::Job JobAsOf(const State& state, const JobEntry& entry, uint64_t sequence, Now now) {
    v1::Job job = ViewJob(state, entry, now);
    for (uint64_t i = std::min<uint64_t>(sequence, entry.events.size()); i > 0; --i) {
      if (entry.events[i - 1].has_state_change()) {
        const v1::StateChange& change = entry.events[i - 1].state_change();
        if (change.to() != job.state()) {
          job.set_state(change.to());
          job.set_reason(change.reason());
        }
        break;
      }
    }
    return job;
  }

  absl::Mutex mu_;
  StreamEnd<v1::WatchJobResponse> end_ ABSL_GUARDED_BY(mu_);
  Engine& engine_;
  const std::string name_;
  const Options options_;
  uint64_t number_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t cursor_ ABSL_GUARDED_BY(mu_);     // last durable event fetched
  uint64_t taken_ ABSL_GUARDED_BY(mu_) = 0;  // last durable event written
  uint64_t length_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t announced_ ABSL_GUARDED_BY(mu_) = 0;  // events at the last Changed()
  uint64_t lag_base_ ABSL_GUARDED_BY(mu_) = 0;   // length of the history when the write under way began
  std::deque<v1::WatchJobResponse> buffer_ ABSL_GUARDED_BY(mu_);
  v1::Progress last_progress_ ABSL_GUARDED_BY(mu_);
  bool first_ ABSL_GUARDED_BY(mu_) = true;
  bool news_ ABSL_GUARDED_BY(mu_) = false;
  bool fetching_ ABSL_GUARDED_BY(mu_) = false;
  bool complete_ ABSL_GUARDED_BY(mu_) = false;
};

WatchStream::WatchStream(Engine& engine, const v1::WatchJobRequest& request, Options options)
    : core_(std::make_shared<Core>(this, engine, request, std::move(options))) {
  core_->Begin();
}

void WatchStream::OnWriteDone(bool ok) { core_->WriteDone(ok); }

void WatchStream::OnCancel() { core_->Cancelled(); }

void WatchStream::OnDone() {
  core_->Detach();
  delete this;
}

}  // namespace pixelrec::coordinator
