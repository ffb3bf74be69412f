// Events in file order -> each user's history in time order, and the training chunks cut from it (rules D4-D8, W1, W7).
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/data/dataset.h"

namespace pixelrec::data {

struct Event {
  int64_t time;  // or the file row, where there is no timestamp column
  uint32_t user;
  uint32_t item;
};

struct Histories {
  std::vector<uint32_t> users;    // [users] the number each user had in the events, in order of D5
  std::vector<uint64_t> offsets;  // [users + 1] into items and times
  std::vector<uint32_t> items;
  std::vector<int64_t> times;
};

// Stable by (time, file row): rules D4, W1; users in order of their first event (D5). `events` come in file order and are
// consumed.
Histories GroupByUser(std::vector<Event> events, uint32_t num_users);

// The train part of `events` events is all but the last two (D6). split: the oldest (length mod m) are dropped and the rest cut
// into chunks of m, or one chunk if there are at most m (D7). Not split: one chunk of the last m (D8). Chunks of one item are
// dropped and counted (W7). Appends to `samples`; returns the number of dropped chunks.
int64_t AppendChunks(uint32_t user, uint64_t events, int max_seq_length, bool split, std::vector<Sample>& samples);

// Interactions that repeat an earlier (user, item).
int64_t CountDuplicates(const Histories& histories);

}  // namespace pixelrec::data
