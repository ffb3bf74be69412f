#include "ctl/client/request_id.h"

#include <random>

#include "absl/strings/str_format.h"

namespace pixelrec::ctl {

std::string RandomRequestId() {
  std::random_device random;
  return absl::StrFormat("ctl-%08x%08x%08x%08x", random(), random(), random(), random());
}

}  // namespace pixelrec::ctl
