#include "tests/coordinator/simulator/clients.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace pixelrec::simulator {

namespace {

constexpr microseconds kTimeout = Seconds(5);

}  // namespace

Clients::Clients(Options options, Timeline& timeline, Network& network, CoordinatorNode& coordinator, Workload& workload,
                 Promises& promises, Trace& trace, Dice dice)
    : options_(options),
      timeline_(timeline),
      network_(network),
      coordinator_(coordinator),
      workload_(workload),
      promises_(promises),
      trace_(trace),
      dice_(dice) {}

void Clients::Start(microseconds until) { SubmitNext(until); }

void Clients::SubmitNext(microseconds until) {
  timeline_.After(dice_.Wait(options_.between), [this, until] {
    if (timeline_.now() >= until || submissions_ >= options_.most_jobs) return;
    Submit(absl::StrCat("s", ++submissions_), workload_.NewJob(), false);
    SubmitNext(until);
  });
}

void Clients::Submit(const std::string& id, const v1::JobSpec& spec, bool misuse) {
  Begin(std::make_shared<Request>(Request{.id = id, .event = coordinator::Submit{id, spec, 8}, .spec = spec, .misuse = misuse}));
}

void Clients::Cancel(const std::string& job_id) {
  const std::string id = absl::StrCat("c", ++cancellations_);
  Begin(std::make_shared<Request>(Request{.id = id, .event = coordinator::Cancel{job_id, dice_.Chance(0.3), id}}));
}

void Clients::Begin(RequestPtr request) {
  ++waiting_;
  Ask(request);
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
    ++timeouts_;
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
  const bool submits = std::holds_alternative<coordinator::Submit>(request->event);
  if (request->misuse) {
    if (!absl::IsAlreadyExists(status)) trace_.Break("request ", request->id, " was used for two jobs");
  } else if (!submits) {
    if (status.ok()) promises_.OnCancelled(job);
  } else if (!status.ok()) {
    trace_.Break("submission ", request->id, " is refused: ", status.ToString());
  } else {
    promises_.OnSubmitted(request->id, request->spec, job);
    if (dice_.Chance(options_.cancel)) {
      timeline_.After(dice_.Spread(Seconds(0.01), Seconds(300)), [this, id = job.job_id()] { Cancel(id); });
    }
    if (dice_.Chance(0.05)) {  // asks once more, though it knows
      timeline_.After(dice_.Spread(Seconds(0.01), Seconds(100)),
                      [this, id = request->id, spec = request->spec] { Submit(id, spec, false); });
    } else if (dice_.Chance(0.02)) {
      v1::JobSpec other = request->spec;
      other.mutable_scheduling()->set_priority(other.scheduling().priority() + 1);
      timeline_.After(Seconds(1), [this, id = request->id, other] { Submit(id, other, true); });
    }
  }
}

}  // namespace pixelrec::simulator
