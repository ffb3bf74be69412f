#include "coordinator/service/metrics_stream.h"

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/reasons.h"
#include "coordinator/service/stream_end.h"

namespace pixelrec::coordinator {

namespace {

// Points in one message.
constexpr size_t kPage = 256;

}  // namespace

class MetricsStream::Core final : public JobListener, public std::enable_shared_from_this<Core> {
 public:
  Core(MetricsStream* stream, Engine& engine, Series& series, const v1::StreamMetricsRequest& request,
       std::function<absl::Status()> still_good)
      : end_(stream),
        engine_(engine),
        series_(series),
        name_(request.job()),
        follow_(request.follow()),
        still_good_(std::move(still_good)),
        cursor_(request.after_sequence()) {}

  void Begin() {
    engine_.Read([self = shared_from_this()](const State* state, Now) {
      absl::StatusOr<uint64_t> number = state == nullptr ? Stopping() : FindJob(*state, self->name_);
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
      if (self->follow_) {
        self->engine_.Listen(*number, self);
      }
      self->Fetch(*state);
    });
  }

  void Changed(uint64_t) override {
    absl::MutexLock lock(&mu_);
    news_ = true;
    PumpLocked();
  }

  void Stopped(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    end_.End(status);
  }

  void WriteDone(bool ok) {
    absl::MutexLock lock(&mu_);
    message_.Clear();
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
    if (number != 0 && follow_) {
      engine_.Unlisten(number, shared_from_this());
    }
  }

 private:
  // Writes the page that was read, reads the next when there may be one.
  void PumpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!end_.may_write()) {
      return;
    }
    if (message_.points_size() > 0) {
      end_.Write(&message_);
    } else if (complete_) {
      end_.End(absl::OkStatus());
    } else if (news_ && !fetching_) {
      fetching_ = true;
      engine_.Read([self = shared_from_this()](const State* state, Now) {
        if (state != nullptr) {
          self->Fetch(*state);
        } else {
          self->Stopped(Stopping());
        }
      });
    }
  }

  // On the engine's thread. What it has recorded so far is read, and of a job that has ended nothing comes behind that.
  void Fetch(const State& state) {
    absl::MutexLock lock(&mu_);
    auto it = state.jobs.find(number_);
    if (it == state.jobs.end()) {
      fetching_ = false;
      end_.End(rpc::Refuse(absl::StatusCode::kNotFound, rpc::kJobNotFound, absl::StrCat("job '", name_, "' was deleted")));
      return;
    }
    if (absl::Status status = still_good_(); !status.ok()) {
      fetching_ = false;
      end_.End(status);
      return;
    }
    news_ = false;
    const bool last = !follow_ || it->second.ended();
    series_.Read(number_, cursor_, kPage,
                 [self = shared_from_this(), last](absl::StatusOr<Series::Page> page) { self->Take(std::move(page), last); });
  }

  // On the thread of the series.
  void Take(absl::StatusOr<Series::Page> page, bool last) {
    absl::MutexLock lock(&mu_);
    fetching_ = false;
    if (!page.ok()) {
      end_.End(page.status());
      return;
    }
    for (v1::MetricPoint& point : page->points) {
      cursor_ = point.sequence();
      *message_.add_points() = std::move(point);
    }
    news_ = news_ || page->more;
    complete_ = last && !page->more;
    PumpLocked();
  }

  absl::Mutex mu_;
  StreamEnd<v1::StreamMetricsResponse> end_ ABSL_GUARDED_BY(mu_);
  Engine& engine_;
  Series& series_;
  const std::string name_;
  const bool follow_;
  const std::function<absl::Status()> still_good_;
  uint64_t number_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t cursor_ ABSL_GUARDED_BY(mu_);                    // newest point read
  v1::StreamMetricsResponse message_ ABSL_GUARDED_BY(mu_);  // read, and not taken yet
  bool news_ ABSL_GUARDED_BY(mu_) = false;
  bool fetching_ ABSL_GUARDED_BY(mu_) = false;
  bool complete_ ABSL_GUARDED_BY(mu_) = false;
};

MetricsStream::MetricsStream(Engine& engine, Series& series, const v1::StreamMetricsRequest& request,
                             std::function<absl::Status()> still_good)
    : core_(std::make_shared<Core>(this, engine, series, request, std::move(still_good))) {
  core_->Begin();
}

void MetricsStream::OnWriteDone(bool ok) { core_->WriteDone(ok); }

void MetricsStream::OnCancel() { core_->Cancelled(); }

void MetricsStream::OnDone() {
  core_->Detach();
  delete this;
}

}  // namespace pixelrec::coordinator
