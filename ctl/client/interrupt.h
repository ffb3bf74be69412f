// Ctrl-C (or SIGTERM) as a std::stop_token, for commands that follow something.
//
// Threads: make it in the main thread before anything starts threads of its own, so that all of them leave the signals to it.
#pragma once

#include <memory>
#include <stop_token>
#include <thread>

#include "absl/status/statusor.h"
#include "common/process/signals.h"
#include "common/process/wakeup.h"

namespace pixelrec::ctl {

class Interrupt {
 public:
  static absl::StatusOr<std::unique_ptr<Interrupt>> Install();
  ~Interrupt();

  // Stopped at the first signal; the second one ends the process at once.
  std::stop_token token() const { return source_.get_token(); }

 private:
  explicit Interrupt(process::StopSignal signal);
  void Wait();

  process::StopSignal signal_;
  process::Wakeup done_;
  std::stop_source source_;
  std::thread thread_;
};

}  // namespace pixelrec::ctl
