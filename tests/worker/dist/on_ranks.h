// A body that runs on every rank of a group, ranks being threads of this process.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "tests/worker/ranks_as_threads.h"
#include "worker/dist/process_group.h"

namespace pixelrec::dist {

inline constexpr std::chrono::milliseconds kRanksTimeout{20'000};

// Runs body(group) on `world_size` ranks over Gloo and waits for all.
inline void OnRanks(int world_size, const std::function<void(const ProcessGroup&)>& body) {
  auto listening = Rendezvous::Listen("127.0.0.1", kRanksTimeout);
  ASSERT_TRUE(listening.ok()) << listening.status();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      auto meeting = rank == 0 ? listening : Rendezvous::Connect("127.0.0.1", listening->port(), kRanksTimeout);
      ASSERT_TRUE(meeting.ok()) << meeting.status();
      auto group =
          ProcessGroup::Join(*meeting, {.rank = rank, .world_size = world_size, .prefix = "test/1", .timeout = kRanksTimeout});
      ASSERT_TRUE(group.ok()) << group.status();
      body(*group);
      group->Barrier();
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace pixelrec::dist
