// Virtual time and what is going to happen in it. One thread: an event runs, may plan others, and then the next one runs.
//
// Events of one instant run in the order in which they were planned.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "tests/coordinator/simulator/dice.h"

namespace pixelrec::simulator {

class Timeline {
 public:
  using Task = std::function<void()>;

  // Since the run began.
  microseconds now() const { return now_; }
  uint64_t events() const { return events_; }

  // The wall clock, which may jump; nothing but `now` decides when an event runs.
  microseconds wall() const { return kEpoch + now_ + wall_offset_; }
  void JumpWall(microseconds by) { wall_offset_ += by; }

  void At(microseconds when, Task task) { queue_.push({std::max(when, now_), next_++, std::move(task)}); }
  void After(microseconds delay, Task task) { At(now_ + delay, std::move(task)); }

  // The next event; false: none is left until `end`, which it is then.
  bool RunNext(microseconds end) {
    if (queue_.empty() || queue_.top().when > end) {
      now_ = std::max(now_, end);
      return false;
    }
    // top() is const, but the task is about to leave the queue.
    Task task = std::move(const_cast<Entry&>(queue_.top()).task);
    now_ = queue_.top().when;
    queue_.pop();
    ++events_;
    task();
    return true;
  }

 private:
  static constexpr microseconds kEpoch{1767225600'000'000};  // 2026-01-01 00:00:00 UTC
  struct Entry {
    microseconds when;
    uint64_t order;
    Task task;
    bool operator<(const Entry& other) const { return std::pair(other.when, other.order) < std::pair(when, order); }
  };

  std::priority_queue<Entry> queue_;
  uint64_t next_ = 0;
  uint64_t events_ = 0;
  microseconds now_{0};
  microseconds wall_offset_{0};
};

}  // namespace pixelrec::simulator
