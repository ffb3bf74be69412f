// spec.model.init_from: the trained tensors start as those of another HLLM, whoever wrote it (checkpoint/hllm_weights.h).
//
// Threads: one thread at a time.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "worker/checkpoint/hllm_weights.h"
#include "worker/dist/flat_parameters.h"

namespace pixelrec::train {

// Every tensor of `parameters` is overwritten; values of bf16 and fp16 are widened. -> a sentence for the user: what was read and
// what was left aside. INVALID_ARGUMENT: tensors are missing or of another shape, by name; nothing was changed then. Errors of
// checkpoint::OpenHllmWeights.
absl::StatusOr<std::string> InitFrom(const std::filesystem::path& path, dist::FlatParameters& parameters);
// The same from weights that are open already.
absl::StatusOr<std::string> CopyWeights(const checkpoint::HllmWeights& weights, dist::FlatParameters& parameters);

}  // namespace pixelrec::train
