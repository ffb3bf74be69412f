#include "ctl/local/restart_backoff.h"

#include <algorithm>

namespace pixelrec::ctl {

absl::Duration RestartBackoff::AfterExit(absl::Time started, absl::Time ended) {
  if (ended - started >= kHealthy) next_ = kFirst;
  const absl::Duration wait = next_;
  next_ = std::min(next_ * 2, kLongest);
  return wait;
}

}  // namespace pixelrec::ctl
