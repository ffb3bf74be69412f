// People who submit jobs and cancel, pause, resume and delete them, and who drain workers, over a network that loses requests and
// answers: whoever gets no answer asks again with the same request_id.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tests/coordinator/simulator/coordinator_node.h"
#include "tests/coordinator/simulator/promises.h"

namespace pixelrec::simulator {

class Clients {
 public:
  struct Options {
    microseconds between{0};  // submissions, on average
    int most_jobs = 40;
    double loss = 0;                 // of a request, and of an answer
    double cancel = 0;               // share of the jobs that somebody cancels
    double pause = 0;                // pauses, and resumes later
    double erase = 0;                // deletes, after its end or before
    microseconds between_drains{0};  // on average; 0: nobody drains a worker
  };
  Clients(Options options, Timeline& timeline, Network& network, CoordinatorNode& coordinator, Workload& workload,
          Promises& promises, Trace& trace, Dice dice, size_t workers);

  // Submit, and drain workers, until then.
  void Start(microseconds until);
  // From now on nothing is lost.
  void Calm() { options_.loss = 0; }
  // Nobody waits for an answer.
  bool done() const { return waiting_ == 0; }
  // By kind, for whoever counts what happened.
  const std::map<std::string, int>& counts() const { return counts_; }

 private:
  using Then = std::function<void(const absl::Status&, const v1::Job&)>;
  struct Request {
    std::string id;
    coordinator::Event event;
    Then then;
    int attempt = 0;
    bool done = false;
  };
  using RequestPtr = std::shared_ptr<Request>;  // owners: what was planned for it

  void SubmitNext(microseconds until);
  void Submit(const std::string& id, const v1::JobSpec& spec);
  void Misuse(const std::string& id, v1::JobSpec spec);
  void OnSubmitted(const std::string& id, const v1::JobSpec& spec, const v1::Job& job);
  void Cancel(const std::string& job_id);
  void Pause(const std::string& job_id);
  void Resume(const std::string& job_id);
  void Delete(const std::string& job_id);
  void DrainNext(microseconds until);
  void Undrain(const std::string& worker_id);
  std::string NewId(const char* kind);
  void Begin(const std::string& id, coordinator::Event event, Then then);
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
  const size_t workers_;
  int waiting_ = 0, submissions_ = 0, others_ = 0;
  std::map<std::string, int> counts_;
};

}  // namespace pixelrec::simulator
