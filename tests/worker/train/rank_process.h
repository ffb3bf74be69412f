// Ranks as processes, as the product has them: for measurements, where threads of one process would share what ranks don't.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/train/small_job.h"

namespace pixelrec::train {

// Hands rank 0's store to the other ranks: one line a rank.
class StorePipe {
 public:
  explicit StorePipe(int readers) : readers_(readers) { broken_ = pipe(ends_) != 0; }
  ~StorePipe() {
    close(ends_[0]);
    close(ends_[1]);
  }
  StorePipe(const StorePipe&) = delete;
  StorePipe& operator=(const StorePipe&) = delete;

  void Announce(int port) const {
    for (int i = 0; i < readers_; ++i) broken_ = write(ends_[1], &port, sizeof port) != sizeof port || broken_;
  }
  std::optional<int> Await() const {
    int port = 0;
    if (broken_ || read(ends_[0], &port, sizeof port) != sizeof port) return std::nullopt;
    return port;
  }

 private:
  int readers_;
  int ends_[2] = {-1, -1};
  mutable bool broken_ = false;
};

class ProcessLink : public RecordingLink {
 public:
  explicit ProcessLink(const StorePipe& store) : store_(store) {}
  void StoreOpened(const std::string&, int port) override { store_.Announce(port); }
  absl::StatusOr<std::pair<std::string, int>> WaitForStore() override {
    const std::optional<int> port = store_.Await();
    if (!port) return absl::UnavailableError("rank 0 opened no store");
    return std::pair("127.0.0.1", *port);
  }

 private:
  const StorePipe& store_;
};

// Runs `body` in `world_size` processes of their own and returns rank 0's answer, a list of numbers; empty where a rank failed.
// The caller must have no other threads.
inline std::vector<double> InProcesses(TrainJob job, int world_size,
                                       const std::function<std::vector<double>(const TrainJob&, RecordingLink&)>& body) {
  const StorePipe store(world_size - 1);
  int answer[2];
  if (pipe(answer) != 0) return {};
  job.world_size = world_size;
  std::vector<pid_t> children;
  for (int rank = 0; rank < world_size; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      close(answer[0]);
      job.rank = rank;
      ProcessLink link(store);
      const std::vector<double> numbers = body(job, link);
      const auto bytes = static_cast<ssize_t>(numbers.size() * sizeof(double));
      const bool told = rank != 0 || write(answer[1], numbers.data(), static_cast<size_t>(bytes)) == bytes;
      _exit(told && !numbers.empty() ? 0 : 1);
    }
    children.push_back(child);
  }
  close(answer[1]);
  std::vector<double> numbers;
  for (double number = 0; read(answer[0], &number, sizeof number) == sizeof number;) numbers.push_back(number);
  close(answer[0]);
  bool failed = false;
  for (const pid_t child : children) {
    int status = 0;
    failed = waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || failed;
  }
  return failed ? std::vector<double>() : numbers;
}

}  // namespace pixelrec::train
