// SIGTERM and SIGINT as something a poll loop waits on.
//
// Threads: make it in main() before any other thread, so that all of them inherit the blocked signals.
#pragma once

#include "absl/status/statusor.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::process {

class StopSignal {
 public:
  // Blocks SIGTERM and SIGINT for this thread and those it starts, and ignores SIGPIPE.
  static absl::StatusOr<StopSignal> Install();

  // Readable when one has come.
  int fd() const { return fd_.get(); }
  // Takes one; 0 if there is none. Never blocks.
  int Take();
  // Blocks until one comes.
  int Wait();

 private:
  explicit StopSignal(int fd) : fd_(fd) {}
  storage::UniqueFd fd_;
};

}  // namespace pixelrec::process
