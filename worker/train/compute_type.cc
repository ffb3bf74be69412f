#include "worker/train/compute_type.h"

#include <ATen/cpu/Utils.h>

#include "absl/strings/str_cat.h"

namespace pixelrec::train {

const char* NameOf(ComputeType type) { return type == ComputeType::kBf16 ? "bf16" : "fp32"; }

// With neither, LibTorch emulates: products in bf16 are several times slower than in fp32, with AVX-512 alone too.
Hardware DetectHardware() {
  const auto flags = at::cpu::get_cpu_capabilities();
  for (const char* name : {"amx_bf16", "avx512_bf16"}) {
    const auto found = flags.find(name);
    if (found != flags.end() && found->second.isBool() && found->second.toBool()) return {.bf16_instructions = name};
  }
  return {};
}

ComputeChoice ChooseComputeType(const TrainJob& job, int ranks_with_bf16) {
  if (job.compat.bf16_rounding) {
    return {ComputeType::kBf16,
            job.bf16 ? "compat: this rank rounds to bf16 where the reference does, on a CPU: right, but slow" : ""};
  }
  if (!job.bf16 || job.evaluate_only) return {};
  if (ranks_with_bf16 == job.world_size) {
    return {ComputeType::kBf16, absl::StrCat("computing in bf16 (", job.hardware.bf16_instructions,
                                             "); masters, moments, summed gradients, loss and scores are fp32")};
  }
  const std::string who = job.world_size == 1 ? "this rank's CPU has no bf16 instructions"
                                              : absl::StrCat(job.world_size - ranks_with_bf16, " of ", job.world_size,
                                                             " ranks' CPUs have no bf16 instructions");
  return {ComputeType::kFp32, absl::StrCat("bf16: true was asked for; ", who,
                                           " (amx_bf16 or avx512_bf16), without which bf16 is slower: training in fp32")};
}

}  // namespace pixelrec::train
