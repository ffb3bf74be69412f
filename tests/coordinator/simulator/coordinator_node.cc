#include "tests/coordinator/simulator/coordinator_node.h"

#include <algorithm>
#include <utility>

namespace pixelrec::simulator {

using coordinator::Event;
using coordinator::Now;
using coordinator::Tick;
using coordinator::Turn;

class CoordinatorNode::Sink final : public coordinator::WorkerSink {
 public:
  Sink(CoordinatorNode& node, uint64_t stream) : node_(node), stream_(stream) {}

  void Send(v1::SessionResponse message) override {
    node_.Act();
    if (node_.tamper_sent_ != nullptr && !node_.tamper_sent_(message)) return;
    node_.observer_.OnSent(message);
    node_.network_.SendResponse(stream_, std::move(message));
  }

  void Close(const absl::Status& status) override {
    node_.Act();
    node_.network_.Close(stream_, status);
    node_.timeline_.After(microseconds(200), [&node = node_, stream = stream_, life = node_.life_] {
      if (life == node.life_) node.Disconnect(stream);
    });
  }

 private:
  CoordinatorNode& node_;
  const uint64_t stream_;
};

CoordinatorNode::CoordinatorNode(Options options, Timeline& timeline, Network& network, JournalDisk& disk, Trace& trace,
                                 Dice dice, Observer& observer)
    : options_(std::move(options)),
      timeline_(timeline),
      network_(network),
      disk_(disk),
      trace_(trace),
      dice_(dice),
      observer_(observer) {}

Now CoordinatorNode::now() const { return {timeline_.wall(), steady_base_ + timeline_.now()}; }

void CoordinatorNode::Start() {
  ++life_;
  // It may come back on another machine, whose steady clock began at another time.
  steady_base_ = dice_.Between(Seconds(10), Seconds(1e6));
  turn_ = std::make_unique<Turn>(Turn::Options{.policy = options_.policy, .compact_after = options_.compact_after}, disk_);
  last_session_ = 0;
  busy_until_ = timeline_.now();
  turn_at_ = microseconds::max();
  dies_at_action_ = 0;
  if (absl::Status status = turn_->Replay(now()); !status.ok()) {
    trace_.Break("the journal can't be loaded: ", status.ToString());
    return;
  }
  trace_.Say("coordinator starts: ", disk_.records().size(), " records");
  observer_.OnLoaded(turn_->state(), now());
  ScheduleTurn(timeline_.now());
}

void CoordinatorNode::Kill(bool silently) {
  if (!up()) return;
  trace_.Say("coordinator dies", silently ? " with its machine" : "");
  ++life_;
  turn_.reset();
  sessions_.clear();
  queue_.clear();
  paused_ = false;
  network_.ServerDied(silently);
  if (on_death_ != nullptr) on_death_();
}

void CoordinatorNode::Pause() {
  trace_.Say("coordinator stands still");
  paused_ = true;
}

void CoordinatorNode::Continue() {
  if (!std::exchange(paused_, false)) return;
  trace_.Say("coordinator goes on");
  turn_at_ = microseconds::max();
  std::vector<uint64_t> streams;
  for (const auto& [stream, session] : sessions_) streams.push_back(stream);
  for (uint64_t stream : streams) ReadNext(stream);
  ScheduleTurn(timeline_.now());
}

void CoordinatorNode::Call(Event event, Turn::Reply reply) { Enqueue({.work = std::move(event), .reply = std::move(reply)}); }

void CoordinatorNode::Enqueue(Turn::Item item) {
  if (auto* event = std::get_if<Event>(&item.work); event != nullptr && tamper_ != nullptr) tamper_(*event);
  queue_.push_back(std::move(item));
  ScheduleTurn(timeline_.now() + dice_.Between(microseconds(0), microseconds(300)));
}

void CoordinatorNode::OnRequest(uint64_t stream, v1::SessionRequest request) {
  if (!up()) return;
  sessions_[stream].inbox.push_back(std::move(request));
  ReadNext(stream);
}

void CoordinatorNode::OnClientGone(uint64_t stream) {
  if (up()) Disconnect(stream);
}

void CoordinatorNode::Disconnect(uint64_t stream) {
  auto it = sessions_.find(stream);
  if (it == sessions_.end()) return;
  const Session session = std::move(it->second);
  sessions_.erase(it);
  if (session.number != 0) Enqueue({.work = Event(coordinator::WorkerDisconnected{session.worker_id, session.number})});
}

// As worker_session.cc: one message at a time, the next one when the engine is done with it.
void CoordinatorNode::ReadNext(uint64_t stream) {
  auto it = sessions_.find(stream);
  if (it == sessions_.end() || paused_) return;
  Session& session = it->second;
  if (session.busy || session.inbox.empty()) return;
  v1::SessionRequest request = std::move(session.inbox.front());
  session.inbox.pop_front();
  session.busy = true;
  auto done = [this, stream] {
    if (auto found = sessions_.find(stream); found != sessions_.end()) {
      found->second.busy = false;
      ReadNext(stream);
    }
  };
  if (session.number == 0) {
    session.worker_id = request.worker_id();
    session.number = ++last_session_;
    session.sink = std::make_shared<Sink>(*this, stream);
    Enqueue({.work = Event(coordinator::WorkerRegistered{request.worker_id(), request.incarnation(), session.number,
                                                         std::move(*request.mutable_register_())}),
             .done = done,
             .sink = session.sink});
  } else if (request.has_beat()) {
    Enqueue({.work = Event(coordinator::WorkerBeat{session.worker_id,
                                                   session.number,
                                                   request.beat().number(),
                                                   {request.beat().positions().begin(), request.beat().positions().end()}}),
             .done = done});
  } else {
    Enqueue(
        {.work = Event(coordinator::RankReported{session.worker_id, session.number, std::move(*request.mutable_rank_report())}),
         .done = done});
  }
}

void CoordinatorNode::ScheduleTurn(microseconds at) {
  at = std::max({at, busy_until_, timeline_.now()});
  if (paused_ || at >= turn_at_) return;
  turn_at_ = at;
  timeline_.At(at, [this, at, life = life_] {
    if (life == life_ && at == turn_at_ && !paused_) RunTurn();
  });
}

// As Engine::Take and Engine::Run.
void CoordinatorNode::RunTurn() {
  turn_at_ = microseconds::max();
  std::vector<Turn::Item> items = std::move(queue_);
  queue_.clear();
  if (turn_->NextDeadline() <= now().steady) items.push_back({.work = Event(Tick{})});
  const size_t records = disk_.records().size();
  const int refusals = disk_.refusals(), compactions = disk_.compactions();
  try {
    turn_->Process(std::move(items), now());
  } catch (const ProcessDied&) {
    return Kill(dice_.Chance(0.2));
  }
  const bool wrote = records != disk_.records().size() || compactions != disk_.compactions();
  if (wrote) busy_until_ = timeline_.now() + dice_.Spread(microseconds(200), dice_.Chance(0.002) ? Seconds(1) : Seconds(0.005));
  observer_.OnTurn(turn_->state(), now(), refusals != disk_.refusals());
  if (!queue_.empty()) ScheduleTurn(timeline_.now());
  const microseconds deadline = turn_->NextDeadline();
  if (deadline != microseconds::max()) ScheduleTurn(deadline - steady_base_);
}

void CoordinatorNode::Act() {
  if (dies_at_action_ > 0 && --dies_at_action_ == 0) throw ProcessDied();
}

}  // namespace pixelrec::simulator
