// Which rank of a gang hangs, judged from where the ranks say they are. Pure.
//
// A rank hangs when it lasts in a section longer than max(hang_floor, hang_factor x the section's running median); a wait for
// other ranks is measured against whole steps. While no median is known, and in sections that wait for a disk, which may pause
// for long and be well, start_timeout takes the floor's place. A rank that waits for the coordinator's commit never hangs, unless
// its process is stopped. Nobody knows how long preparing a dataset takes between two signs of progress: hang_factor x
// start_timeout, but no longer than hang_floor with the process stopped.
//
// Among ranks that wait for each other the one to blame came to the fewest collectives: all come to the same ones in one order.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

struct Hang {
  int32_t rank = -1;  // -1: all have come to a collective, and none gets through
  std::string message;
};

// How long a rank may be where it is; nothing: for ever.
std::optional<std::chrono::microseconds> HangDeadline(const v1::RankPosition& position, const Policy& policy);

// `positions` by rank. Nothing: as far as known, all is well; that some rank of `world_size` was not heard of yet is well, too.
std::optional<Hang> FindHang(const std::map<int32_t, v1::RankPosition>& positions, int world_size, const Policy& policy);

}  // namespace pixelrec::coordinator
