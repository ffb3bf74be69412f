// The coordinator's process: the real Turn (coordinator/engine/turn.h) over a journal that survives it, with the loop of
// engine.cc and the sessions of worker_session.cc around it, without their threads.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/engine/turn.h"
#include "tests/coordinator/simulator/journal_disk.h"
#include "tests/coordinator/simulator/network.h"
#include "tests/coordinator/simulator/trace.h"

namespace pixelrec::simulator {

class CoordinatorNode final : public ServerEnd {
 public:
  struct Options {
    coordinator::Policy policy;
    int64_t compact_after = 20000;
  };
  // Told after everything that the coordinator did.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void OnLoaded(const coordinator::State& state, coordinator::Now now) = 0;
    // `refused`: by the journal.
    virtual void OnTurn(const coordinator::State& state, coordinator::Now now, bool refused) = 0;
    virtual void OnSent(const v1::SessionResponse& message) = 0;
  };

  CoordinatorNode(Options options, Timeline& timeline, Network& network, JournalDisk& disk, Trace& trace, Dice dice,
                  Observer& observer);

  void Start();
  // kill -9. `silently`: its machine too.
  void Kill(bool silently);
  // At the next action that a turn performs.
  void KillAmidActions() { dies_at_action_ = dice_.Between(1, 4); }
  void Pause();
  void Continue();
  bool up() const { return turn_ != nullptr; }
  bool paused() const { return paused_; }

  // A client's Submit or Cancel has arrived.
  void Call(coordinator::Event event, coordinator::Turn::Reply reply);

  bool listening() const override { return up(); }
  void OnRequest(uint64_t stream, v1::SessionRequest request) override;
  void OnClientGone(uint64_t stream) override;

  // Only while up().
  const coordinator::State& state() const { return turn_->state(); }
  coordinator::Now now() const;
  // Planted faults.
  void Tamper(std::function<void(coordinator::Event&)> with) { tamper_ = std::move(with); }
  void TamperSent(std::function<bool(v1::SessionResponse&)> with) { tamper_sent_ = std::move(with); }
  // Told of the death, once.
  void OnDeath(std::function<void()> then) { on_death_ = std::move(then); }

 private:
  class Sink;
  struct Session {
    std::string worker_id;
    uint64_t number = 0;  // 0: not registered
    std::deque<v1::SessionRequest> inbox;
    bool busy = false;  // the engine has one of its messages
    std::shared_ptr<Sink> sink;
  };

  void ReadNext(uint64_t stream);
  void Enqueue(coordinator::Turn::Item item);
  void ScheduleTurn(microseconds at);
  void RunTurn();
  void Disconnect(uint64_t stream);
  void Act();

  const Options options_;
  Timeline& timeline_;
  Network& network_;
  JournalDisk& disk_;
  Trace& trace_;
  Dice dice_;
  Observer& observer_;

  std::unique_ptr<coordinator::Turn> turn_;  // null: the process is dead
  std::map<uint64_t, Session> sessions_;     // by stream
  std::vector<coordinator::Turn::Item> queue_;
  uint64_t last_session_ = 0;
  uint64_t life_ = 0;
  microseconds turn_at_ = microseconds::max();
  microseconds busy_until_{0};
  microseconds steady_base_{0};
  bool paused_ = false;
  int dies_at_action_ = 0;
  std::function<void(coordinator::Event&)> tamper_;
  std::function<bool(v1::SessionResponse&)> tamper_sent_;
  std::function<void()> on_death_;
};

}  // namespace pixelrec::simulator
