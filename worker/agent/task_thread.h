// One thread that carries out tasks in the order they came: what may wait for a disk, away from the loop that must beat.
//
// Threads: Post from any.
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace pixelrec::agent {

class TaskThread {
 public:
  TaskThread() : thread_([this] { Work(); }) {}
  // Finishes what was posted.
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  void Post(std::function<void()> task);

 private:
  void Work();

  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace pixelrec::agent
