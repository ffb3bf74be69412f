#include "coordinator/engine/engine.h"

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/rpc/reasons.h"
#include "coordinator/engine/instruments.h"
#include "coordinator/state/replay.h"
#include "coordinator/state/step.h"
#include "coordinator/state/view.h"

namespace pixelrec::coordinator {

using std::chrono::microseconds;

namespace {

// Ticks whose decisions the journal refused are tried again after this.
constexpr std::chrono::seconds kRefusedPause{1};

absl::Status Stopping() {
  return rpc::Refuse(absl::StatusCode::kUnavailable, rpc::kCoordinatorStopping, "the coordinator is stopping: try again later");
}

}  // namespace

Now SystemNow() {
  return Now{std::chrono::duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch()),
             std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now().time_since_epoch())};
}

Engine::Engine(Options options, std::unique_ptr<Journal> journal)
    : options_(std::move(options)), journal_(std::move(journal)), state_(options_.policy), compact_at_(options_.compact_after) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Start(Options options, std::unique_ptr<Journal> journal) {
  std::unique_ptr<Engine> engine(new Engine(std::move(options), std::move(journal)));
  if (absl::Status status = engine->Replay(); !status.ok()) {
    return status;
  }
  // The thread begins to own the state here.
  engine->thread_ = std::thread([e = engine.get()] { e->Run(); });
  return engine;
}

Engine::~Engine() { Stop(); }

absl::Status Engine::Replay() {
  now_ = options_.clock();
  if (absl::Status status = journal_->Replay([this](absl::string_view bytes) { return ApplyRecord(state_, bytes); });
      !status.ok()) {
    return status;
  }
  FinishReplay(state_, now_);
  if (options_.instruments != nullptr) {
    options_.instruments->Replayed(state_);
  }
  MaybeCompact();
  return absl::OkStatus();
}

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

void Engine::SendTo(uint64_t session, v1::SessionResponse message) {
  if (auto it = sessions_.find(session); it != sessions_.end()) {
    it->second->Send(std::move(message));
  }
}

void Engine::Listen(uint64_t job_number, std::shared_ptr<JobListener> listener) {
  listeners_[job_number].push_back(std::move(listener));
  if (options_.instruments != nullptr) {
    options_.instruments->Subscribers(+1);
  }
}

void Engine::Unlisten(uint64_t job_number, std::shared_ptr<JobListener> listener) {
  Read([this, job_number, listener = std::move(listener)](const State* state, Now) {
    auto it = listeners_.find(job_number);
    if (state == nullptr || it == listeners_.end() || std::erase(it->second, listener) == 0) {
      return;
    }
    if (it->second.empty()) {
      listeners_.erase(it);
    }
    if (options_.instruments != nullptr) {
      options_.instruments->Subscribers(-1);
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
  const microseconds deadline = std::max(NextDeadline(state_), refused_until_);
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
    Process(Take(&stopping));
  }
  Farewell();
}

void Engine::Process(std::vector<Item> items) {
  std::vector<Outcome> outcomes;
  outcomes.reserve(items.size());
  for (const Item& item : items) {
    const auto* event = std::get_if<Event>(&item.work);
    outcomes.push_back(event != nullptr ? Step(state_, *event, now_) : Outcome());
  }
  if (absl::Status status = Commit(outcomes); status.ok()) {
    Perform(items, outcomes);
    state_.Accept();
    MaybeCompact();
  } else {
    state_.Rollback();
    refused_until_ = now_.steady + kRefusedPause;
    Refuse(items, status);
  }
  for (Item& item : items) {
    if (auto* read = std::get_if<Reader>(&item.work)) {
      (*read)(&state_, now_);
    }
  }
}

absl::Status Engine::Commit(const std::vector<Outcome>& outcomes) {
  std::vector<std::string> records;
  for (const Outcome& outcome : outcomes) {
    for (const Record& record : outcome.records) {
      records.push_back(record.SerializeAsString());
    }
  }
  if (records.empty()) {
    return absl::OkStatus();
  }
  const auto begin = std::chrono::steady_clock::now();
  absl::Status status = journal_->Append(records);
  if (options_.instruments != nullptr) {
    options_.instruments->Committed(std::chrono::steady_clock::now() - begin, journal_->SizeBytes());
  }
  if (!status.ok()) {
    std::cerr << "journal refuses: " << status.message() << std::endl;
    status = rpc::Refuse(absl::StatusCode::kResourceExhausted, rpc::kJournalUnwritable, status.message());
  }
  return status;
}

void Engine::Perform(std::vector<Item>& items, std::vector<Outcome>& outcomes) {
  for (size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    Outcome& outcome = outcomes[i];
    auto* event = std::get_if<Event>(&item.work);
    if (event == nullptr) {
      continue;
    }
    if (const auto* registered = std::get_if<WorkerRegistered>(event)) {
      sessions_[registered->session] = std::move(item.sink);
    } else if (const auto* gone = std::get_if<WorkerDisconnected>(event)) {
      sessions_.erase(gone->session);
    }
    for (Action& action : outcome.actions) {
      Act(action);
    }
    if (outcome.deletion.has_value()) {
      DropListeners(*outcome.deletion);
    }
    if (options_.instruments != nullptr) {
      options_.instruments->Stepped(state_, *event, outcome, now_);
    }
    if (item.reply) {
      item.reply(MakeAnswer(outcome));
    }
    if (item.done) {
      item.done();
    }
  }
}

Engine::Answer Engine::MakeAnswer(const Outcome& outcome) const {
  Answer answer{.status = outcome.status, .deletion = outcome.deletion.value_or(Deletion())};
  if (const JobEntry* job = state_.Find(outcome.job_number)) {
    answer.job = ViewJob(state_, *job, now_);
  }
  if (auto worker = state_.workers.find(outcome.worker_id); worker != state_.workers.end()) {
    answer.worker = ViewWorker(worker->second);
  }
  return answer;
}

void Engine::DropListeners(const Deletion& deletion) {
  auto it = listeners_.find(deletion.number());
  if (it == listeners_.end()) {
    return;
  }
  for (const std::shared_ptr<JobListener>& listener : it->second) {
    listener->Stopped(
        rpc::Refuse(absl::StatusCode::kNotFound, rpc::kJobNotFound, absl::StrCat("job ", deletion.job_id(), " was deleted")));
  }
}

void Engine::Act(Action& action) {
  if (auto* send = std::get_if<SendToWorker>(&action)) {
    SendTo(send->session, std::move(send->message));
  } else if (auto* close = std::get_if<CloseSession>(&action)) {
    if (auto it = sessions_.find(close->session); it != sessions_.end()) {
      it->second->Close(close->status);
      sessions_.erase(it);
    }
  } else if (auto* publish = std::get_if<PublishEvent>(&action)) {
    if (auto it = listeners_.find(publish->job_number); it != listeners_.end()) {
      const uint64_t length = state_.Find(publish->job_number)->events.size();
      for (const std::shared_ptr<JobListener>& listener : it->second) {
        listener->Changed(length);
      }
    }
  }
}

void Engine::Refuse(std::vector<Item>& items, const absl::Status& status) {
  for (Item& item : items) {
    auto* event = std::get_if<Event>(&item.work);
    if (event == nullptr) {
      continue;
    }
    if (const auto* reported = std::get_if<RankReported>(event)) {
      if (auto it = sessions_.find(reported->session); it != sessions_.end()) {
        it->second->Close(status);
      }
    } else if (const auto* gone = std::get_if<WorkerDisconnected>(event)) {
      // It changes nothing durable by itself: take it again, alone.
      const Outcome outcome = Step(state_, *gone, now_);
      if (outcome.records.empty()) {
        state_.Accept();
      } else {
        state_.Rollback();
      }
      sessions_.erase(gone->session);
    }
    if (item.sink != nullptr) {
      item.sink->Close(status);
    }
    if (item.reply) {
      item.reply({.status = status});
    }
    if (item.done) {
      item.done();
    }
  }
}

void Engine::MaybeCompact() {
  if (journal_->tail_length() < compact_at_) {
    return;
  }
  absl::Status status = journal_->Compact(SnapshotRecords(state_));
  if (status.ok()) {
    compact_at_ = options_.compact_after;
  } else {
    std::cerr << "journal not compacted: " << status.message() << std::endl;
    compact_at_ = 2 * journal_->tail_length();
  }
}

void Engine::Farewell() {
  std::vector<Item> items;
  {
    absl::MutexLock lock(&mu_);
    items = std::move(queue_);
    queue_.clear();
  }
  Refuse(items, Stopping());
  for (Item& item : items) {
    if (auto* read = std::get_if<Reader>(&item.work)) {
      (*read)(nullptr, now_);
    }
  }
  for (auto& [session, sink] : sessions_) {
    sink->Close(Stopping());
  }
  sessions_.clear();
  for (auto& [number, listeners] : listeners_) {
    for (auto& listener : listeners) {
      listener->Stopped(Stopping());
    }
  }
  listeners_.clear();
}

}  // namespace pixelrec::coordinator
