// Decides when to dial the coordinator, when to beat, and when a session is dead. No socket, no clock: the owner tells what
// happened and when, and carries out what Tick says.
//
// Threads: one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "pixelrec/v1/worker_service.pb.h"
#include "worker/agent/rank_key.h"

namespace pixelrec::agent {

class Session {
 public:
  struct Options {
    std::chrono::milliseconds min_backoff{50};
    std::chrono::milliseconds max_backoff{500};  // well below the grace of one lease that a returned coordinator gives
    // From dialling to Registered.
    std::chrono::milliseconds attempt_timeout{3000};
    std::function<double()> random;  // uniform in [0, 1)
  };
  enum class State { kWaiting, kOpening, kRegistered };

  struct Step {
    bool open = false;  // dial and send RegisterWorker
    bool drop = false;  // give the stream up; Closed() follows at once
    uint64_t beat = 0;  // send this Beat; 0: none
  };

  explicit Session(Options options) : options_(std::move(options)) {}

  // What is due at `now`. Nothing more is due before NextDue().
  Step Tick(Time now);
  Time NextDue() const;

  // Number of a beat that is sent out of turn.
  uint64_t NextBeat() { return ++beats_; }

  void OnRegistered(const v1::Registered& terms, Time now);
  // Any message from the coordinator.
  void OnHeard(Time now) { last_heard_ = now; }
  void OnClosed(Time now);

  State state() const { return state_; }
  // Since when there is no registered session; nothing while there is one, and before the first.
  std::optional<Time> lost_since() const { return lost_since_; }
  std::chrono::milliseconds orphan_grace() const { return orphan_grace_; }

 private:
  const Options options_;
  State state_ = State::kWaiting;
  Time next_attempt_{};  // the epoch: at once
  Time attempt_deadline_{};
  Time registered_at_{};
  Time next_beat_{};
  Time last_heard_{};
  uint64_t beats_ = 0;
  std::chrono::milliseconds backoff_{0};
  std::chrono::milliseconds lease_{2000};
  std::chrono::milliseconds beat_interval_{500};
  std::chrono::milliseconds orphan_grace_{600'000};
  std::optional<Time> lost_since_;
};

}  // namespace pixelrec::agent
