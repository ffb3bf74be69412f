#include "coordinator/engine/engine.h"

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/process/crash_point.h"
#include "common/rpc/reasons.h"
#include "coordinator/engine/instruments.h"

namespace pixelrec::coordinator {

using std::chrono::microseconds;

absl::Status Stopping() {
  return rpc::Refuse(absl::StatusCode::kUnavailable, rpc::kCoordinatorStopping, "the coordinator is stopping: try again later");
}

Now SystemNow() {
  return Now{std::chrono::duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch()),
             std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now().time_since_epoch())};
}

Engine::Engine(Options options, std::unique_ptr<RecordLog> journal)
    : options_(std::move(options)),
      journal_(std::move(journal)),
      turn_({.policy = options_.policy,
             .instruments = options_.instruments,
             .compact_after = options_.compact_after,
             .series = options_.series},
            *journal_) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Start(Options options, std::unique_ptr<RecordLog> journal) {
  std::unique_ptr<Engine> engine(new Engine(std::move(options), std::move(journal)));
  engine->now_ = engine->options_.clock();
  if (absl::Status status = engine->turn_.Replay(engine->now_); !status.ok()) {
    return status;
  }
  process::CrashPoint("journal.replayed");
  // The thread begins to own the state here.
  engine->thread_ = std::thread([e = engine.get()] { e->Run(); });
  return engine;
}

Engine::~Engine() { Stop(); }

void Engine::Enqueue(Item item) {
  {
    absl::MutexLock lock(&mu_);
    if (!stopping_) {
      queue_.push_back(std::move(item));
      return;
    }
  }
  if (item.reply) {
    item.reply({.status = Stopping()});
  }
  if (auto* read = std::get_if<Reader>(&item.work)) {
    (*read)(nullptr, Now());
  }
  if (item.sink != nullptr) {
    item.sink->Close(Stopping());
  }
  if (item.done) {
    item.done();
  }
}

void Engine::Mutate(Event event, Reply reply) { Enqueue({.work = std::move(event), .reply = std::move(reply)}); }

void Engine::Read(Reader read) { Enqueue({.work = std::move(read)}); }

void Engine::Register(WorkerRegistered registered, std::shared_ptr<WorkerSink> sink, std::function<void()> done) {
  Enqueue({.work = Event(std::move(registered)), .done = std::move(done), .sink = std::move(sink)});
}

void Engine::Tell(Event event, std::function<void()> done) { Enqueue({.work = std::move(event), .done = std::move(done)}); }

void Engine::SendTo(uint64_t session, v1::SessionResponse message) { turn_.SendTo(session, std::move(message)); }

void Engine::Listen(uint64_t job_number, std::shared_ptr<JobListener> listener) { turn_.Listen(job_number, std::move(listener)); }

void Engine::Unlisten(uint64_t job_number, std::shared_ptr<JobListener> listener) {
  Read([this, job_number, listener = std::move(listener)](const State* state, Now) {
    if (state != nullptr) {
      turn_.Unlisten(job_number, listener);
    }
  });
}

void Engine::CountDropped(const std::string& reason, uint64_t events) {
  if (options_.instruments != nullptr) {
    options_.instruments->Dropped(reason, events);
  }
}

void Engine::Poke() {
  absl::Notification done;
  {
    absl::MutexLock lock(&mu_);
    poked_ = true;
  }
  Read([&done](const State*, Now) { done.Notify(); });
  done.WaitForNotification();
}

void Engine::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

std::vector<Engine::Item> Engine::Take(bool* stopping) {
  const auto wanted = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return !queue_.empty() || stopping_ || poked_; };
  const microseconds deadline = turn_.NextDeadline();
  absl::MutexLock lock(&mu_);
  if (!options_.timed || deadline == microseconds::max()) {
    mu_.Await(absl::Condition(&wanted));
  } else {
    mu_.AwaitWithTimeout(absl::Condition(&wanted), absl::FromChrono(deadline - options_.clock().steady));
  }
  std::vector<Item> items = std::move(queue_);
  queue_.clear();
  now_ = options_.clock();
  const bool due = options_.timed && deadline <= now_.steady;
  // After the queue: a beat that has arrived counts before its lease is looked at.
  if (poked_ || due) {
    items.push_back({.work = Event(Tick{})});
  }
  poked_ = false;
  *stopping = stopping_;
  return items;
}

void Engine::Run() {
  bool stopping = false;
  while (!stopping) {
    std::vector<Item> items = Take(&stopping);
    turn_.Process(std::move(items), now_);
  }
  Farewell();
}

void Engine::Farewell() {
  std::vector<Item> items;
  {
    absl::MutexLock lock(&mu_);
    items = std::move(queue_);
    queue_.clear();
  }
  turn_.Farewell(std::move(items), Stopping());
}

}  // namespace pixelrec::coordinator
