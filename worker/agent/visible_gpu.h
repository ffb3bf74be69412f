// The one GPU that a worker's trainers see. A worker is one GPU or one CPU slot; its trainers find the GPU as number 0.
//
// Threads: any.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::agent {

inline constexpr char kVisibleGpus[] = "CUDA_VISIBLE_DEVICES";

// The trainers' CUDA_VISIBLE_DEVICES: empty for device "cpu", else what stands for the N of "cuda:N" in the worker's own
// variable, where it has one. INVALID_ARGUMENT: that shows fewer GPUs.
absl::StatusOr<std::string> VisibleGpu(absl::string_view device, const std::optional<std::string>& inherited);

}  // namespace pixelrec::agent
