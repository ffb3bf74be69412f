#include "worker/channel/position_page.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace pixelrec::channel {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

Position At(int64_t n) {
  return {.section = static_cast<int32_t>(n % 7),
          .step = n,
          .collective = static_cast<uint64_t>(3 * n),
          .waits = n % 2 == 1,
          .since = steady_clock::time_point(nanoseconds(5 * n)),
          .typical = n % 3 == 0 ? std::nullopt : std::optional(nanoseconds(n))};
}

TEST(PositionPageTest, IsReadAsItWasWritten) {
  auto worker = PositionPage::Create();
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->Read(), std::nullopt);
  auto trainer = PositionPage::Open(dup(worker->fd()));
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  for (int64_t n = 1; n < 10; ++n) {
    trainer->Write(At(n));
    EXPECT_EQ(worker->Read(), At(n));
  }
}

TEST(PositionPageTest, WhatIsNoPageIsRefused) {
  EXPECT_EQ(PositionPage::Open(open("/dev/null", O_RDWR | O_CLOEXEC)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PositionPage::Open(-1).status().code(), absl::StatusCode::kInvalidArgument);
}

// A reader that comes at any time sees one of the positions, never a mixture.
TEST(PositionPageTest, IsNeverReadInHalves) {
  auto page = PositionPage::Create();
  ASSERT_TRUE(page.ok());
  page->Write(At(1));
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int64_t n = 2; n < 20'000; ++n) page->Write(At(n));
    done = true;
  });
  int64_t newest = 0;
  while (!done) {
    const auto position = page->Read();
    if (!position) continue;  // it changed eight times while it was read
    EXPECT_EQ(*position, At(position->step));
    EXPECT_GE(position->step, newest);
    newest = position->step;
  }
  writer.join();
  EXPECT_EQ(page->Read(), At(19'999));
}

}  // namespace
}  // namespace pixelrec::channel
