// What the engine's thread does with one batch: it steps the pure machine, commits what was decided to the journal in one
// transaction, and only then performs the actions: answers, messages to workers, news for watchers.
//
// If the journal refuses, the whole batch is undone: clients get RESOURCE_EXHAUSTED, and the sessions whose reports were in it
// are closed, so that their workers repeat them. Reads are served all the same.
//
// Apart from the thread and its clock, so that the simulator (tests/coordinator/simulator/) drives this very code. Threads: one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/journal/record_log.h"
#include "coordinator/state/event.h"
#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

class Instruments;
class Series;

// A worker's open session.
class WorkerSink {
 public:
  virtual ~WorkerSink() = default;
  virtual void Send(v1::SessionResponse message) = 0;
  virtual void Close(const absl::Status& status) = 0;
};

// Told that a job has news; what they are is read from the state.
class JobListener {
 public:
  virtual ~JobListener() = default;
  // `durable_events`: length of the job's history.
  virtual void Changed(uint64_t durable_events) = 0;
  virtual void Stopped(const absl::Status& status) = 0;
};

class Turn {
 public:
  struct Options {
    Policy policy;
    Instruments* instruments = nullptr;  // may be null; outlives this
    int64_t compact_after = 20000;       // records appended to the journal
    Series* series = nullptr;            // of the jobs' metrics; may be null; outlives this
  };
  // What became of a client's request, and what it was about, as that is now.
  struct Answer {
    absl::Status status;
    v1::Job job;
    v1::Worker worker;
    Deletion deletion;
  };
  using Reply = std::function<void(const Answer& answer)>;
  using Reader = std::function<void(const State* state, Now now)>;
  struct Item {
    std::variant<Event, Reader> work;
    Reply reply = {};
    std::function<void()> done = {};
    std::shared_ptr<WorkerSink> sink = {};
  };

  // `journal` outlives this.
  Turn(Options options, RecordLog& journal);

  // First. DATA_LOSS: the journal is damaged.
  absl::Status Replay(Now now);
  void Process(std::vector<Item> items, Now now);
  // The steady instant at which a Tick is next needed.
  std::chrono::microseconds NextDeadline() const;
  void Farewell(std::vector<Item> items, const absl::Status& status);

  // Inside a Reader.
  void SendTo(uint64_t session, v1::SessionResponse message);
  void Listen(uint64_t job_number, std::shared_ptr<JobListener> listener);
  void Unlisten(uint64_t job_number, const std::shared_ptr<JobListener>& listener);

  const State& state() const { return state_; }

 private:
  bool IsTooLate(const Event& event) const;
  absl::Status Commit(const std::vector<Outcome>& outcomes);
  void Perform(std::vector<Item>& items, std::vector<Outcome>& outcomes);
  void Act(Action& action);
  Answer MakeAnswer(const Outcome& outcome) const;
  void DropListeners(const Deletion& deletion);
  void KeepSeries(const Outcome& outcome);
  void Refuse(std::vector<Item>& items, const absl::Status& status);
  void MaybeCompact();

  const Options options_;
  RecordLog& journal_;
  State state_;
  Now now_;
  std::map<uint64_t, std::shared_ptr<WorkerSink>> sessions_;                 // owners: this, the session's stream
  std::map<uint64_t, std::vector<std::shared_ptr<JobListener>>> listeners_;  // owners: this, the watcher's stream
  std::chrono::microseconds refused_until_{0};
  int64_t compact_at_;
};

}  // namespace pixelrec::coordinator
