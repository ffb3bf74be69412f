#include "worker/dist/device.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/dist/cuda_library.h"

namespace pixelrec::dist {
namespace {

constexpr char kVisible[] = "CUDA_VISIBLE_DEVICES";

LocalGpu Without(std::string problem) { return {.id = "", .name = "", .problem = std::move(problem)}; }

absl::string_view FirstLine(absl::string_view text) { return text.substr(0, text.find('\n')); }

// The first rank without a GPU of its own, in words; empty: every rank has one.
std::string WhyNotOneEach(const std::vector<LocalGpu>& by_rank) {
  std::map<std::string, size_t> owners;
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    const LocalGpu& gpu = by_rank[rank];
    if (gpu.id.empty()) return by_rank.size() == 1 ? gpu.problem : absl::StrCat("rank ", rank, ": ", gpu.problem);
    const auto [owner, is_first] = owners.emplace(gpu.id, rank);
    if (!is_first) {
      return absl::StrCat("ranks ", owner->second, " and ", rank, " have the same GPU (", gpu.name, ", ", gpu.id,
                          "), and NCCL takes one rank a GPU: give each worker a device of its own");
    }
  }
  return "";
}

// Zeros for a CPU, and before anything was allocated.
c10::CachingAllocator::Stat AllocatedBytes(const at::Device& device) {
  if (!device.is_cuda()) return {};
  c10::DeviceAllocator* const allocator = c10::getDeviceAllocator(device.type());
  if (!allocator->initialized()) return {};
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return allocator->getDeviceStats(device.index()).allocated_bytes[kAll];
}

}  // namespace

std::string LocalGpu::ToText() const { return absl::StrCat(id, "\n", name, "\n", FirstLine(problem)); }

LocalGpu LocalGpu::FromText(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, absl::MaxSplits('\n', 2));
  lines.resize(3);
  return {.id = lines[0], .name = lines[1], .problem = lines[2]};
}

LocalGpu FindGpu(int index) {
  const char* const visible = std::getenv(kVisible);
  if (visible != nullptr && *visible == '\0') return Without("the worker computes on a CPU (worker.yaml: device)");
  const auto library = LoadCudaLibrary();
  if (!library.ok()) return Without(std::string(library.status().message()));
  try {
    const int count = (*library)->DeviceCount();
    if (count == 0) return Without("there is no GPU, or no driver for it");
    if (index >= count) return Without(absl::StrCat("there is no GPU ", index, " among the ", count, " that are visible"));
    return {.id = (*library)->DeviceUuid(index), .name = (*library)->DeviceName(index), .problem = ""};
  } catch (const c10::Error& error) {
    return Without(absl::StrCat("the GPU can't be used: ", error.what_without_backtrace()));
  }
}

absl::StatusOr<Placement> Place(BackendChoice asked, const std::vector<LocalGpu>& by_rank) {
  if (asked == BackendChoice::kGloo) return Placement{.on_gpu = false, .reason = "as asked for"};
  const std::string why_not = WhyNotOneEach(by_rank);
  if (asked == BackendChoice::kNccl && !why_not.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("spec.distributed.backend: nccl needs a GPU for every rank. ", why_not));
  }
  if (!why_not.empty()) return Placement{.on_gpu = false, .reason = why_not};
  return Placement{.on_gpu = true, .reason = absl::StrCat("every rank has a GPU, rank 0 a ", by_rank.front().name)};
}

std::string Describe(const Placement& placement, BackendChoice asked) {
  const char* const name = asked == BackendChoice::kGloo ? "gloo" : asked == BackendChoice::kNccl ? "nccl" : "auto";
  return absl::StrCat("backend: ", name, ": ",
                      placement.on_gpu ? "ranks compute on GPUs, over NCCL" : "ranks compute on CPUs, over Gloo", ": ",
                      placement.reason);
}

bool GpuHasBf16(const at::Device& device) {
  if (!device.is_cuda()) return false;
  const auto library = LoadCudaLibrary();
  return library.ok() && (*library)->HasBf16(device.index());
}

void Synchronize(const at::Device& device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeStream(guard.getStream(device));
}

int64_t PeakMemoryBytes(const at::Device& device) { return AllocatedBytes(device).peak; }

void ResetPeakMemory(const at::Device& device) {
  if (!device.is_cuda()) return;
  c10::DeviceAllocator* const allocator = c10::getDeviceAllocator(device.type());
  if (allocator->initialized()) allocator->resetPeakStats(device.index());
}

int64_t MemoryBytes(const at::Device& device) { return AllocatedBytes(device).current; }

}  // namespace pixelrec::dist
