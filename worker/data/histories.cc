#include "worker/data/histories.h"

#include <algorithm>

namespace pixelrec::data {

Histories GroupByUser(std::vector<Event> events, uint32_t num_users) {
  const auto earlier = [](const Event& a, const Event& b) { return a.time < b.time; };
  // Most files are written in time order already, and a stable sort needs as much memory again.
  if (!std::is_sorted(events.begin(), events.end(), earlier)) std::stable_sort(events.begin(), events.end(), earlier);

  constexpr uint32_t kUnseen = ~uint32_t{0};
  std::vector<uint32_t> place(num_users, kUnseen);
  std::vector<uint64_t> counts;
  Histories histories;
  for (const Event& event : events) {
    uint32_t& p = place[event.user];
    if (p == kUnseen) {
      p = static_cast<uint32_t>(histories.users.size());
      histories.users.push_back(event.user);
      counts.push_back(0);
    }
    ++counts[p];
  }
  histories.offsets.assign(1, 0);
  for (uint64_t count : counts) histories.offsets.push_back(histories.offsets.back() + count);

  std::vector<uint64_t> next(histories.offsets.begin(), histories.offsets.end() - 1);
  histories.items.resize(events.size());
  histories.times.resize(events.size());
  for (const Event& event : events) {
    const uint64_t at = next[place[event.user]]++;
    histories.items[at] = event.item;
    histories.times[at] = event.time;
  }
  return histories;
}

int64_t AppendChunks(uint32_t user, uint64_t events, int max_seq_length, bool split, std::vector<Sample>& samples) {
  if (events < 3) return 0;
  const uint64_t train = events - 2;
  const auto m = static_cast<uint64_t>(max_seq_length);
  if (train == 1) return 1;
  if (train <= m) {
    samples.push_back({user, 0, static_cast<uint32_t>(train)});
    return 0;
  }
  const uint64_t first = split ? train % m : train - m;
  for (uint64_t start = first; start < train; start += m) {
    samples.push_back({user, static_cast<uint32_t>(start), static_cast<uint32_t>(m)});
  }
  return 0;
}

int64_t CountDuplicates(const Histories& histories) {
  int64_t duplicates = 0;
  std::vector<uint32_t> items;
  for (size_t user = 0; user + 1 < histories.offsets.size(); ++user) {
    items.assign(histories.items.begin() + static_cast<ptrdiff_t>(histories.offsets[user]),
                 histories.items.begin() + static_cast<ptrdiff_t>(histories.offsets[user + 1]));
    std::sort(items.begin(), items.end());
    duplicates += items.end() - std::unique(items.begin(), items.end());
  }
  return duplicates;
}

}  // namespace pixelrec::data
