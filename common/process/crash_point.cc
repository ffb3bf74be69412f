#include "common/process/crash_point.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace pixelrec::process {
namespace {

// Armed once, before the threads that pass.
absl::string_view armed;
std::atomic<int64_t> left = 0;

}  // namespace

absl::Status ArmCrashPoint(absl::string_view plan) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(plan, absl::MaxSplits(':', 1));
  const auto* point = std::find(kCrashPoints.begin(), kCrashPoints.end(), parts.first);
  int64_t passings = 0;
  if (point == kCrashPoints.end())
    return absl::InvalidArgumentError(
        absl::StrCat("no crash point '", parts.first, "'; there are: ", absl::StrJoin(kCrashPoints, ", ")));
  if (!absl::SimpleAtoi(parts.second, &passings) || passings < 1)
    return absl::InvalidArgumentError(absl::StrCat("'", plan, "': must be POINT:N, N from 1 on"));
  left = passings;
  armed = *point;
  return absl::OkStatus();
}

void CrashPoint(absl::string_view name) {
  // SIGKILL and not abort(): no handler, no flush, no destructor.
  if (name == armed && --left == 0) kill(getpid(), SIGKILL);
}

}  // namespace pixelrec::process
