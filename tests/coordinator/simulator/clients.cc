#include "tests/coordinator/simulator/clients.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace pixelrec::simulator {

namespace {

constexpr microseconds kTimeout = Seconds(5);

}  // namespace

Clients::Clients(Options options, Timeline& timeline, Network& network, CoordinatorNode& coordinator, Workload& workload,
                 Promises& promises, Trace& trace, Dice dice, size_t workers)
    : options_(options),
      timeline_(timeline),
      network_(network),
      coordinator_(coordinator),
      workload_(workload),
      promises_(promises),
      trace_(trace),
      dice_(dice),
      workers_(workers) {}

void Clients::Start(microseconds until) {
  SubmitNext(until);
  if (options_.between_drains > microseconds(0)) DrainNext(until);
}

void Clients::SubmitNext(microseconds until) {
  timeline_.After(dice_.Wait(options_.between), [this, until] {
    if (timeline_.now() >= until || submissions_ >= options_.most_jobs) return;
    Submit(absl::StrCat("s", ++submissions_), workload_.NewJob());
    SubmitNext(until);
  });
}

void Clients::Submit(const std::string& id, const v1::JobSpec& spec) {
  Begin(id, coordinator::Submit{id, spec, 8}, [this, id, spec](const absl::Status& status, const v1::Job& job) {
    if (status.ok()) {
      OnSubmitted(id, spec, job);
    } else if (!absl::IsNotFound(status) || !promises_.IsDeleted(id)) {
      trace_.Break("submission ", id, " is refused: ", status.ToString());
    }
  });
}

void Clients::Misuse(const std::string& id, v1::JobSpec spec) {
  spec.mutable_scheduling()->set_priority(spec.scheduling().priority() + 1);
  Begin(id, coordinator::Submit{id, spec, 8}, [this, id](const absl::Status& status, const v1::Job&) {
    if (!absl::IsAlreadyExists(status) && !promises_.IsDeleted(id)) trace_.Break("request ", id, " was used for two jobs");
  });
}

void Clients::OnSubmitted(const std::string& id, const v1::JobSpec& spec, const v1::Job& job) {
  promises_.OnSubmitted(id, spec, job);
  const auto later = [&](double chance, double from, double to, auto&& what) {
    if (dice_.Chance(chance)) timeline_.After(dice_.Spread(Seconds(from), Seconds(to)), what);
  };
  later(options_.cancel, 0.01, 300, [this, job_id = job.job_id()] { Cancel(job_id); });
  later(options_.pause, 0.01, 300, [this, job_id = job.job_id()] { Pause(job_id); });
  later(options_.erase, 1, 2000, [this, job_id = job.job_id()] { Delete(job_id); });
  later(0.05, 0.01, 100, [this, id, spec] { Submit(id, spec); });  // asks once more, though it knows
  later(0.02, 0.5, 2, [this, id, spec] { Misuse(id, spec); });
}

void Clients::Cancel(const std::string& job_id) {
  const std::string id = NewId("cancels");
  Begin(id, coordinator::Cancel{job_id, dice_.Chance(0.3), id}, [this](const absl::Status& status, const v1::Job& job) {
    if (status.ok()) promises_.OnCancelled(job);
  });
}

// Sooner or later everything is resumed: else the job would never end.
void Clients::Pause(const std::string& job_id) {
  const std::string id = NewId("pauses");
  Begin(id, coordinator::PauseJob{job_id, dice_.Chance(0.3), id}, [this, id, job_id](const absl::Status& status, const v1::Job&) {
    if (!status.ok()) return;
    promises_.OnAsked(job_id, id);
    timeline_.After(dice_.Spread(Seconds(0.01), Seconds(100)), [this, job_id] { Resume(job_id); });
  });
}

void Clients::Resume(const std::string& job_id) {
  const std::string id = NewId("resumes");
  Begin(id, coordinator::ResumeJob{job_id, id}, [this, id, job_id](const absl::Status& status, const v1::Job&) {
    if (status.ok()) promises_.OnAsked(job_id, id);
  });
}

void Clients::Delete(const std::string& job_id) {
  const std::string id = NewId("deletes");
  Begin(id, coordinator::DeleteJob{job_id, id}, [this, job_id](const absl::Status& status, const v1::Job&) {
    if (status.ok()) promises_.OnDeleted(job_id);
  });
}

void Clients::DrainNext(microseconds until) {
  timeline_.After(dice_.Wait(options_.between_drains), [this, until] {
    if (timeline_.now() >= until) return;
    const std::string worker = absl::StrCat("w", dice_.Below(workers_)), id = NewId("drains");
    const v1::DrainMode mode = dice_.Chance(0.5) ? v1::DRAIN_MODE_MOVE_JOBS : v1::DRAIN_MODE_LET_JOBS_FINISH;
    Begin(id, coordinator::DrainWorker{worker, mode, id}, [this, worker](const absl::Status& status, const v1::Job&) {
      if (status.ok()) timeline_.After(dice_.Spread(Seconds(0.1), Seconds(200)), [this, worker] { Undrain(worker); });
    });
    DrainNext(until);
  });
}

void Clients::Undrain(const std::string& worker_id) {
  const std::string id = NewId("undrains");
  Begin(id, coordinator::UndrainWorker{worker_id, id}, [this, worker_id](const absl::Status& status, const v1::Job&) {
    // Not there at the moment. Drained it stays, for when it comes back, so somebody has to ask again.
    if (absl::IsNotFound(status)) timeline_.After(Seconds(10), [this, worker_id] { Undrain(worker_id); });
  });
}

std::string Clients::NewId(const char* kind) {
  ++counts_[absl::StrCat("client ", kind)];
  return absl::StrCat(kind, ++others_);
}

void Clients::Begin(const std::string& id, coordinator::Event event, Then then) {
  ++waiting_;
  Ask(std::make_shared<Request>(Request{.id = id, .event = std::move(event), .then = std::move(then)}));
}

void Clients::Ask(const RequestPtr& request) {
  const int attempt = ++request->attempt;
  const auto answer = [this, request, attempt](const coordinator::Turn::Answer& given) {
    if (dice_.Chance(options_.loss)) return;
    timeline_.After(network_.Latency(), [this, request, attempt, given] {
      if (!request->done && request->attempt == attempt) OnAnswer(request, given.status, given.job);
    });
  };
  if (!dice_.Chance(options_.loss)) {
    timeline_.After(network_.Latency(), [this, request, answer] {
      if (coordinator_.up()) {
        coordinator_.Call(request->event, answer);
      } else {
        answer({.status = absl::UnavailableError("connection refused")});
      }
    });
  }
  timeline_.After(kTimeout, [this, request, attempt] {
    if (request->done || request->attempt != attempt) return;
    ++counts_["request timed out"];
    trace_.Say("request ", request->id, " timed out");
    Ask(request);
  });
}

void Clients::OnAnswer(const RequestPtr& request, const absl::Status& status, const v1::Job& job) {
  if (absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) {
    const int attempt = request->attempt;
    timeline_.After(dice_.Between(Seconds(0.1), Seconds(2)), [this, request, attempt] {
      if (!request->done && request->attempt == attempt) Ask(request);
    });
    return;
  }
  request->done = true;
  --waiting_;
  trace_.Say("request ", request->id, " is answered: ", status.ok() ? job.job_id() : status.ToString());
  request->then(status, job);
}

}  // namespace pixelrec::simulator
