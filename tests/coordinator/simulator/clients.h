// People who submit and cancel jobs, over a network that loses requests and answers: whoever gets no answer asks again with the
// same request_id.
#pragma once

#include <string>
#include <vector>

#include "tests/coordinator/simulator/coordinator_node.h"
#include "tests/coordinator/simulator/promises.h"

namespace pixelrec::simulator {

class Clients {
 public:
  struct Options {
    microseconds between{0};  // submissions, on average
    int most_jobs = 40;
    double loss = 0;    // of a request, and of an answer
    double cancel = 0;  // share of the jobs that somebody cancels
  };
  Clients(Options options, Timeline& timeline, Network& network, CoordinatorNode& coordinator, Workload& workload,
          Promises& promises, Trace& trace, Dice dice);

  // Submit until then.
  void Start(microseconds until);
  // From now on nothing is lost.
  void Calm() { options_.loss = 0; }
  // Nobody waits for an answer.
  bool done() const { return waiting_ == 0; }
  int timeouts() const { return timeouts_; }

 private:
  struct Request {
    std::string id;
    coordinator::Event event;
    v1::JobSpec spec;     // of a submission
    bool misuse = false;  // of another's request_id: must be refused
    int attempt = 0;
    bool done = false;
  };
  using RequestPtr = std::shared_ptr<Request>;  // owners: what was planned for it

  void SubmitNext(microseconds until);
  void Submit(const std::string& id, const v1::JobSpec& spec, bool misuse);
  void Cancel(const std::string& job_id);
  void Begin(RequestPtr request);
  void Ask(const RequestPtr& request);
  void OnAnswer(const RequestPtr& request, const absl::Status& status, const v1::Job& job);

  Options options_;
  Timeline& timeline_;
  Network& network_;
  CoordinatorNode& coordinator_;
  Workload& workload_;
  Promises& promises_;
  Trace& trace_;
  Dice dice_;
  int waiting_ = 0, submissions_ = 0, cancellations_ = 0, timeouts_ = 0;
};

}  // namespace pixelrec::simulator
