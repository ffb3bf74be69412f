// libpixelrec_cuda.so: the only file that sees CUDA and NCCL headers.
#include "worker/dist/cuda_library.h"

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace pixelrec::dist {
namespace {

constexpr int kAmpere = 8;  // compute capability from which matrix products take bf16

class LinkedCuda final : public CudaLibrary {
 public:
  int DeviceCount() const override { return c10::cuda::device_count(); }

  std::string DeviceName(int index) const override { return Properties(index)->name; }

  std::string DeviceUuid(int index) const override {
    const auto& uuid = Properties(index)->uuid.bytes;
    return "GPU-" + absl::BytesToHexString(absl::string_view(uuid, sizeof(uuid)));
  }

  bool HasBf16(int index) const override { return Properties(index)->major >= kAmpere; }

  c10::intrusive_ptr<c10d::Backend> MakeNccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
                                             int device_index, std::chrono::milliseconds timeout) const override {
    const auto device = static_cast<c10::DeviceIndex>(device_index);
    at::globalContext().lazyInitDevice(at::kCUDA);
    const c10::cuda::CUDAGuard on_device(device);
    auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
    options->timeout = timeout;
    auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, world_size, options);
    // Here, where a failure can still be named, rather than in the first collective.
    backend->eagerConnectSingleDevice(at::Device(at::kCUDA, device));
    return backend;
  }

 private:
  static const cudaDeviceProp* Properties(int index) {
    return at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(index));
  }
};

}  // namespace
}  // namespace pixelrec::dist

extern "C" {
__attribute__((visibility("default"))) const char* PixelrecCudaLibraryVersion() { return PIXELREC_VERSION; }
__attribute__((visibility("default"))) const pixelrec::dist::CudaLibrary* PixelrecCudaLibrary() {
  static const pixelrec::dist::LinkedCuda library;
  return &library;
}
}
