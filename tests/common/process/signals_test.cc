#include "common/process/signals.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "common/process/wakeup.h"

namespace pixelrec::process {
namespace {

bool ReadableNow(int fd) {
  pollfd wait{fd, POLLIN, 0};
  return poll(&wait, 1, 0) == 1;
}

TEST(StopSignalTest, SignalsBecomeReadable) {
  auto stop = StopSignal::Install();
  ASSERT_TRUE(stop.ok());
  EXPECT_FALSE(ReadableNow(stop->fd()));
  EXPECT_EQ(stop->Take(), 0);
  kill(getpid(), SIGTERM);
  EXPECT_EQ(stop->Wait(), SIGTERM);
  kill(getpid(), SIGINT);
  EXPECT_EQ(stop->Wait(), SIGINT);
  EXPECT_EQ(stop->Take(), 0);
}

TEST(WakeupTest, WakesFromAnotherThreadAndClears) {
  Wakeup wakeup;
  EXPECT_FALSE(ReadableNow(wakeup.fd()));
  std::thread([&] { wakeup.Wake(); }).join();
  wakeup.Wake();
  EXPECT_TRUE(ReadableNow(wakeup.fd()));
  wakeup.Clear();
  EXPECT_FALSE(ReadableNow(wakeup.fd()));
}

}  // namespace
}  // namespace pixelrec::process
