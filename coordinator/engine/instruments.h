// The coordinator's own metrics, fed by the engine with what it has committed. Series of a job are removed when it has ended.
//
// Threads: one at a time (the engine's), but for Dropped().
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <prometheus/registry.h>

#include "coordinator/state/event.h"
#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

class Instruments {
 public:
  explicit Instruments(prometheus::Registry& registry);
  ~Instruments();

  void Replayed(const State& state);
  // After the step's records are durable, before State::Accept(), which forgets deleted jobs.
  void Stepped(const State& state, const Event& event, const Outcome& outcome, Now now);
  void Committed(std::chrono::nanoseconds duration, int64_t journal_bytes);
  void Subscribers(int change);
  // Events that a subscriber will not see: `reason` "coalesced" or "slow_reader". Any thread.
  void Dropped(const std::string& reason, uint64_t events);

 private:
  struct Families;
  void OnJobEvent(const JobEntry& entry, const v1::JobEvent& event, Now now);
  void OnStateChange(const JobEntry& entry, const v1::JobEvent& event, Now now);
  void BeginJob(const JobEntry& entry);
  void EndJob(const JobEntry& entry);
  void CountWorkers(const State& state);

  std::unique_ptr<Families> families_;
  std::map<uint64_t, std::chrono::microseconds> recovering_since_;  // by job number
  std::map<uint64_t, std::set<std::string>> restart_causes_;        // whose series exist, by job number
  std::set<std::string> workers_;                                   // whose series exist
};

}  // namespace pixelrec::coordinator
