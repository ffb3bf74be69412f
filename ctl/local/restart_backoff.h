// When a process that ended is started again: at once the first time, later and later if it keeps ending.
//
// Threads: a plain value.
#pragma once

#include "absl/time/time.h"

namespace pixelrec::ctl {

class RestartBackoff {
 public:
  // How long to wait before the next start of a process that ran from `started` to `ended`.
  absl::Duration AfterExit(absl::Time started, absl::Time ended);

 private:
  static constexpr absl::Duration kFirst = absl::Milliseconds(100);
  static constexpr absl::Duration kLongest = absl::Seconds(5);
  // A process that lived this long is well again.
  static constexpr absl::Duration kHealthy = absl::Seconds(10);

  absl::Duration next_ = kFirst;
};

}  // namespace pixelrec::ctl
