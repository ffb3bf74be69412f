// The one thread that owns the state. It takes what is queued as a batch, steps the pure machine, commits what was decided to the
// journal in one transaction, and only then performs the actions: answers, messages to workers, news for watchers.
//
// If the journal refuses, the whole batch is undone: clients get RESOURCE_EXHAUSTED, and the sessions whose reports were in it
// are closed, so that their workers repeat them. Reads are served all the same.
//
// Threads: the public functions may be called from any; callbacks and sinks are called on the engine's thread and must not block.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "coordinator/journal/journal.h"
#include "coordinator/state/event.h"
#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

class Instruments;

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

Now SystemNow();

class Engine {
 public:
  struct Options {
    Policy policy;
    std::function<Now()> clock = SystemNow;
    // False: time passes only when Poke() is called, for tests that own the clock.
    bool timed = true;
    Instruments* instruments = nullptr;  // may be null; outlives the engine
    int64_t compact_after = 20000;       // records appended to the journal
  };

  // Replays the journal and starts the thread. DATA_LOSS: the journal is damaged.
  static absl::StatusOr<std::unique_ptr<Engine>> Start(Options options, std::unique_ptr<Journal> journal);
  ~Engine();

  // What became of a client's request, and what it was about, as that is now.
  struct Answer {
    absl::Status status;
    v1::Job job;
    v1::Worker worker;
    Deletion deletion;
  };
  // `reply` is called once the decision is durable.
  using Reply = std::function<void(const Answer& answer)>;
  void Mutate(Event event, Reply reply);

  // Calls `read` with the committed state; with null once the engine is stopped.
  using Reader = std::function<void(const State* state, Now now)>;
  void Read(Reader read);

  // `done` is called once the event has taken effect, or has been refused; then the session may bring the next.
  uint64_t NewSession() { return ++last_session_; }
  void Register(WorkerRegistered registered, std::shared_ptr<WorkerSink> sink, std::function<void()> done);
  void Tell(Event event, std::function<void()> done);

  // On the engine's thread only (inside a Reader).
  void SendTo(uint64_t session, v1::SessionResponse message);
  void Listen(uint64_t job_number, std::shared_ptr<JobListener> listener);

  // From any thread. The listener is not called after the engine has taken note.
  void Unlisten(uint64_t job_number, std::shared_ptr<JobListener> listener);

  // From any thread: a listener left out events that it was told of (metrics only).
  void CountDropped(const std::string& reason, uint64_t events);

  // A tick now, whatever the clock says. Returns when the engine has done everything queued before it.
  void Poke();

  // Refuses what comes, finishes what is queued, closes sessions and streams with UNAVAILABLE. Idempotent.
  void Stop();

 private:
  struct Item {
    std::variant<Event, Reader> work;
    Reply reply = {};
    std::function<void()> done = {};
    std::shared_ptr<WorkerSink> sink = {};
  };
  struct Batch;

  Engine(Options options, std::unique_ptr<Journal> journal);
  absl::Status Replay();
  void Enqueue(Item item);
  void Run();
  std::vector<Item> Take(bool* stopping);
  void Process(std::vector<Item> items);
  absl::Status Commit(const std::vector<Outcome>& outcomes);
  void Perform(std::vector<Item>& items, std::vector<Outcome>& outcomes);
  void Act(Action& action);
  Answer MakeAnswer(const Outcome& outcome) const;
  void DropListeners(const Deletion& deletion);
  void Refuse(std::vector<Item>& items, const absl::Status& status);
  void MaybeCompact();
  void Farewell();

  const Options options_;
  const std::unique_ptr<Journal> journal_;
  std::atomic<uint64_t> last_session_{0};

  absl::Mutex mu_;
  std::vector<Item> queue_ ABSL_GUARDED_BY(mu_);
  bool poked_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Of the engine's thread, from its start on.
  State state_;
  Now now_;
  std::map<uint64_t, std::shared_ptr<WorkerSink>> sessions_;                 // owners: this, the session's stream
  std::map<uint64_t, std::vector<std::shared_ptr<JobListener>>> listeners_;  // owners: this, the watcher's stream
  std::chrono::microseconds refused_until_{0};
  int64_t compact_at_;

  std::thread thread_;
};

}  // namespace pixelrec::coordinator
