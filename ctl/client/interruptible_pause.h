// Waiting that a stop ends early.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

#include "absl/time/time.h"

namespace pixelrec::ctl {

inline void InterruptiblePause(absl::Duration duration, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, std::move(stop), absl::ToChronoMilliseconds(duration), [] { return false; });
}

}  // namespace pixelrec::ctl
