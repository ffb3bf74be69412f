#include "worker/channel/channel.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <map>
#include <thread>
#include <vector>

#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/channel/framing.h"

namespace pixelrec::channel {
namespace {

class ChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    worker_ = std::make_unique<Channel>(fds[0]);
    trainer_ = std::make_unique<Channel>(fds[1]);
  }
  void SendRaw(absl::string_view bytes) {
    ASSERT_EQ(write(trainer_->fd(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }

  std::unique_ptr<Channel> worker_, trainer_;
};

v1::TrainerReport Notice(int rank, const std::string& text) {
  v1::TrainerReport report;
  report.set_rank(rank);
  report.mutable_notice()->set_text(text);
  return report;
}

TEST_F(ChannelTest, MessagesArriveWholeAndInOrder) {
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(trainer_->Write(Notice(i, std::string(i * 997, 'a' + i % 26))).ok());
  });
  for (int i = 0; i < 200; ++i) {
    v1::TrainerReport report;
    ASSERT_TRUE(worker_->Read(report).ok());
    EXPECT_EQ(report.rank(), i);
    EXPECT_EQ(report.notice().text(), std::string(i * 997, 'a' + i % 26));
  }
  writer.join();
}

TEST_F(ChannelTest, LargestMessagePassesAndALargerOneIsRefusedWithoutHarm) {
  v1::TrainerReport largest = Notice(1, "");
  largest.mutable_notice()->set_text(std::string(kMaxMessageBytes - 32, 'x'));
  std::thread writer([&] {
    v1::TrainerReport larger = Notice(2, std::string(kMaxMessageBytes, 'x'));
    EXPECT_EQ(trainer_->Write(larger).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(trainer_->Write(largest).ok());
  });
  v1::TrainerReport report;
  EXPECT_TRUE(worker_->Read(report).ok());
  EXPECT_EQ(report.rank(), 1);
  writer.join();
}

TEST_F(ChannelTest, WritersOfSeveralThreadsNeverMix) {
  constexpr int kThreads = 4, kEach = 200;
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) ASSERT_TRUE(trainer_->Write(Notice(t, std::string(5000, 'a' + t))).ok());
    });
  }
  std::map<int, int> seen;
  for (int i = 0; i < kThreads * kEach; ++i) {
    v1::TrainerReport report;
    ASSERT_TRUE(worker_->Read(report).ok());
    EXPECT_EQ(report.notice().text(), std::string(5000, 'a' + report.rank()));
    ++seen[report.rank()];
  }
  for (auto& writer : writers) writer.join();
  for (int t = 0; t < kThreads; ++t) EXPECT_EQ(seen[t], kEach);
}

TEST_F(ChannelTest, CloseAtABorderIsUnavailableInsideOneIsDataLoss) {
  v1::TrainerReport report;
  ASSERT_TRUE(trainer_->Write(Notice(1, "last")).ok());
  trainer_.reset();
  EXPECT_TRUE(worker_->Read(report).ok());
  EXPECT_EQ(worker_->Read(report).code(), absl::StatusCode::kUnavailable);
}

TEST_F(ChannelTest, TornHeaderAndTornBodyAreDataLoss) {
  v1::TrainerReport report;
  SendRaw(absl::string_view("\x05\x00", 2));
  trainer_.reset();
  EXPECT_EQ(worker_->Read(report).code(), absl::StatusCode::kDataLoss);

  SetUp();
  const std::string frame = *EncodeFrame(Notice(1, "torn"));
  SendRaw(absl::string_view(frame).substr(0, frame.size() - 2));
  trainer_.reset();
  EXPECT_EQ(worker_->Read(report).code(), absl::StatusCode::kDataLoss);
}

TEST_F(ChannelTest, OversizeAndGarbageAreDataLoss) {
  v1::TrainerReport report;
  SendRaw("\xff\xff\xff\xff");
  EXPECT_EQ(worker_->Read(report).code(), absl::StatusCode::kDataLoss);
  SetUp();
  SendRaw(absl::string_view("\x02\x00\x00\x00\xff\xff", 6));
  EXPECT_EQ(worker_->Read(report).code(), absl::StatusCode::kDataLoss);
}

TEST_F(ChannelTest, WriteToADeadPeerIsUnavailableNotASignal) {
  trainer_.reset();
  v1::TrainerCommand command;
  command.mutable_stop()->set_reason("x");
  EXPECT_EQ(worker_->Write(command).code(), absl::StatusCode::kUnavailable);
}

TEST_F(ChannelTest, ShutdownUnblocksAReader) {
  std::thread reader([&] {
    v1::TrainerReport report;
    EXPECT_EQ(worker_->Read(report).code(), absl::StatusCode::kUnavailable);
  });
  worker_->Shutdown();
  reader.join();
}

std::atomic<int> g_signals{0};

// A message far larger than the socket's buffer, read and written under a hail of signals without SA_RESTART.
TEST_F(ChannelTest, InterruptedSystemCallsAreRepeated) {
  struct sigaction action {};
  action.sa_handler = [](int) { ++g_signals; };
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  const std::string text(8 << 20, 'y');
  std::atomic<bool> done{false};
  std::thread writer([&] { EXPECT_TRUE(trainer_->Write(Notice(1, text)).ok()); });
  std::thread reader([&] {
    v1::TrainerReport report;
    EXPECT_TRUE(worker_->Read(report).ok());
    EXPECT_EQ(report.notice().text(), text);
    done = true;
  });
  while (!done) {
    pthread_kill(writer.native_handle(), SIGUSR1);
    pthread_kill(reader.native_handle(), SIGUSR1);
  }
  writer.join();
  reader.join();
  EXPECT_GT(g_signals, 0);
  sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
}  // namespace pixelrec::channel
