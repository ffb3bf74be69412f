#include "worker/agent/visible_gpu.h"

#include <cstddef>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pixelrec::agent {

absl::StatusOr<std::string> VisibleGpu(absl::string_view device, const std::optional<std::string>& inherited) {
  if (device == "cpu") return "";
  absl::string_view number = device;
  size_t index = 0;
  if (!absl::ConsumePrefix(&number, "cuda:") || !absl::SimpleAtoi(number, &index))
    return absl::InvalidArgumentError(absl::StrCat("device ", device, ": must be cpu or cuda:N"));
  if (!inherited) return std::string(number);
  const std::vector<std::string> shown = absl::StrSplit(*inherited, ',', absl::SkipEmpty());
  if (index < shown.size()) return shown[index];
  return absl::InvalidArgumentError(absl::StrCat("device ", device, ": ", kVisibleGpus, "=", *inherited, " shows this worker ",
                                                 shown.size(), " GPUs, the first is cuda:0"));
}

}  // namespace pixelrec::agent
