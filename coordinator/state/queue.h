// The order in which jobs wait for workers.
//
// Every 10 minutes of waiting count as one more of priority. As that is the same for all, who goes before whom never changes
// while they wait: a job's place is one number, and the queue is never sorted anew.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

#include "coordinator/state/record.pb.h"

namespace pixelrec::coordinator {

struct QueueKey {
  bool behind = true;  // false: other jobs were stopped to make room for it
  int64_t place = 0;   // microseconds: since when it waits, less what its priority is worth
  uint64_t number = 0;
  auto operator<=>(const QueueKey&) const = default;
};

// What the scheduler asks of a waiting job first: thousands are passed over for each that starts.
struct Waiting {
  int needed = 1;
  int priority = 0;
  bool picky = false;  // there are hosts that it can't use
  // Of its time limit; max(): without.
  std::chrono::microseconds time_left = std::chrono::microseconds::max();
  bool operator==(const Waiting&) const = default;
};

// Its own priority, and what waiting has added: one more for each `aging`.
int EffectivePriority(const JobRecord& record, std::chrono::microseconds wall, std::chrono::microseconds aging);
QueueKey PlaceOf(const JobRecord& record, std::chrono::microseconds aging);
Waiting WaitingOf(const JobRecord& record);

}  // namespace pixelrec::coordinator
