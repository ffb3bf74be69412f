// The one thread that owns the state: it takes what is queued as a batch, when something is queued or time has passed, and has a
// Turn (turn.h) made of it.
//
// Threads: the public functions may be called from any; callbacks and sinks are called on the engine's thread and must not block.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "coordinator/engine/turn.h"
#include "coordinator/journal/record_log.h"
#include "coordinator/state/event.h"
#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

Now SystemNow();

// What whoever comes too late is told.
absl::Status Stopping();

class Engine {
 public:
  struct Options {
    Policy policy;
    std::function<Now()> clock = SystemNow;
    // False: time passes only when Poke() is called, for tests that own the clock.
    bool timed = true;
    Instruments* instruments = nullptr;  // may be null; outlives the engine
    int64_t compact_after = 20000;       // records appended to the journal
    Series* series = nullptr;            // may be null: metrics are kept nowhere; outlives the engine
  };

  // Replays the journal and starts the thread. DATA_LOSS: the journal is damaged.
  static absl::StatusOr<std::unique_ptr<Engine>> Start(Options options, std::unique_ptr<RecordLog> journal);
  ~Engine();

  using Answer = Turn::Answer;
  // `reply` is called once the decision is durable.
  using Reply = Turn::Reply;
  void Mutate(Event event, Reply reply);

  // Calls `read` with the committed state; with null once the engine is stopped.
  using Reader = Turn::Reader;
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
  using Item = Turn::Item;

  Engine(Options options, std::unique_ptr<RecordLog> journal);
  void Enqueue(Item item);
  void Run();
  std::vector<Item> Take(bool* stopping);
  void Farewell();

  const Options options_;
  const std::unique_ptr<RecordLog> journal_;
  std::atomic<uint64_t> last_session_{0};

  absl::Mutex mu_;
  std::vector<Item> queue_ ABSL_GUARDED_BY(mu_);
  bool poked_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  Turn turn_;  // of the engine's thread, from its start on
  Now now_;
  std::thread thread_;
};

}  // namespace pixelrec::coordinator
