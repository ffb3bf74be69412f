// What the ranks of a job compute on: their CPUs, or a GPU each. Decided once at the start, alike on all ranks, with the reason
// in words. Besides worker/dist/cuda/ the only place that knows one kind of device from another.
//
// Threads: any.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/dist/backend_choice.h"

namespace pixelrec::dist {

// What one rank has.
struct LocalGpu {
  std::string id;       // UUID; empty: it has no GPU that it could use
  std::string name;     // for people
  std::string problem;  // why it has none
  std::string ToText() const;
  static LocalGpu FromText(const std::string& text);
};

// The GPU at `index` of those that CUDA_VISIBLE_DEVICES shows; the worker shows its trainer one (worker.yaml: device). Loads
// CUDA's libraries, unless the variable shows none.
LocalGpu FindGpu(int index);

struct Placement {
  bool on_gpu = false;
  std::string reason;
};

// Where all ranks compute, from what each has, in rank order. Pure. FAILED_PRECONDITION: kNccl, and a rank has no GPU, or two
// have the same one.
absl::StatusOr<Placement> Place(BackendChoice asked, const std::vector<LocalGpu>& by_rank);

// What the job's events say.
std::string Describe(const Placement& placement, BackendChoice asked);

// Whether the device computes matrix products of bf16 in hardware. For a CPU that is worker/model's question: false here.
bool GpuHasBf16(const at::Device& device);

// Everything that was started on the device's current stream is done after this. Nothing to do for a CPU.
void Synchronize(const at::Device& device);

// The most bytes that tensors took on the device since the start, or the last reset; 0 for a CPU.
int64_t PeakMemoryBytes(const at::Device& device);
void ResetPeakMemory(const at::Device& device);
// Bytes that tensors take now; 0 for a CPU.
int64_t MemoryBytes(const at::Device& device);

}  // namespace pixelrec::dist
