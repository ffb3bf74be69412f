// What other threads (gRPC's, the disk thread) have for the agent's loop: closures, run there in order of arrival.
//
// Threads: Post from any; the rest from the loop.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/process/wakeup.h"

namespace pixelrec::agent {

class Inbox {
 public:
  void Post(std::function<void()> event) {
    absl::MutexLock lock(&mutex_);
    events_.push_back(std::move(event));
    wakeup_.Wake();
  }

  // Readable while events wait.
  int fd() const { return wakeup_.fd(); }

  std::vector<std::function<void()>> TakeAll() {
    absl::MutexLock lock(&mutex_);
    wakeup_.Clear();
    return std::exchange(events_, {});
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::function<void()>> events_ ABSL_GUARDED_BY(mutex_);
  process::Wakeup wakeup_;
};

}  // namespace pixelrec::agent
