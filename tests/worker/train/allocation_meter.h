// Bytes of tensors that one thread has, to the byte: LibTorch's CPU allocator reports every allocation to whoever is registered
// on the thread. The backward pass and the collectives of Gloo's threads carry the registration of the thread that started them,
// so that ranks that are threads of one process are counted apart. What isn't a tensor (scratch of kernels, batches) isn't
// counted.
//
// Threads: any may report.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>

namespace pixelrec::train {

class AllocationMeter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    const std::lock_guard lock(mutex_);
    live_ += bytes;
    peak_ = std::max(peak_, live_);
  }
  bool memoryProfilingEnabled() const override { return true; }

  int64_t live() const {
    const std::lock_guard lock(mutex_);
    return live_;
  }
  int64_t peak() const {
    const std::lock_guard lock(mutex_);
    return peak_;
  }
  void ForgetPeak() {
    const std::lock_guard lock(mutex_);
    peak_ = live_;
  }

 private:
  mutable std::mutex mutex_;
  int64_t live_ = 0;
  int64_t peak_ = 0;
};

// Counts what this thread allocates from here to the end of its scope.
class Metered {
 public:
  explicit Metered(std::shared_ptr<AllocationMeter> meter) : guard_(c10::DebugInfoKind::PROFILER_STATE, std::move(meter)) {}

 private:
  c10::DebugInfoGuard guard_;
};

}  // namespace pixelrec::train
