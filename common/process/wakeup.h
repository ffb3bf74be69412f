// An eventfd: lets other threads wake a poll loop.
//
// Threads: Wake from any; Clear from the loop.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "common/storage/unique_fd.h"

namespace pixelrec::process {

class Wakeup {
 public:
  Wakeup() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // Readable between a Wake and the next Clear.
  int fd() const { return fd_.get(); }
  void Wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(fd_.get(), &one, sizeof(one));
  }
  void Clear() {
    uint64_t count;
    [[maybe_unused]] const ssize_t got = read(fd_.get(), &count, sizeof(count));
  }

 private:
  storage::UniqueFd fd_;
};

}  // namespace pixelrec::process
