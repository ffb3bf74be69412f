// What a CUDA build adds to the trainer: one shared library, libpixelrec_cuda.so beside the programs, which alone sees CUDA and
// NCCL headers and links libtorch_cuda.so. The programs load it when a GPU is to be used, so that the same programs start on a
// machine without any of CUDA's libraries.
//
// Private to this folder. Threads: any. Errors: CUDA's throw c10::Error.
#pragma once

#include <chrono>
#include <string>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include "absl/status/statusor.h"

namespace pixelrec::dist {

class CudaLibrary {
 public:
  virtual ~CudaLibrary() = default;
  virtual int DeviceCount() const = 0;  // 0: no GPU, or no driver
  virtual std::string DeviceName(int index) const = 0;
  virtual std::string DeviceUuid(int index) const = 0;  // the same GPU has the same on every process of its host
  virtual bool HasBf16(int index) const = 0;
  // Collective: every rank must call it.
  virtual c10::intrusive_ptr<c10d::Backend> MakeNccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
                                                     int device_index, std::chrono::milliseconds timeout) const = 0;
};

// Loads it once. NOT_FOUND: this build has none. FAILED_PRECONDITION: it is there and doesn't load, and why.
// Must come before anything asks LibTorch whether there is CUDA: LibTorch asks its registry once.
absl::StatusOr<const CudaLibrary*> LoadCudaLibrary();

// Names of the two functions that the library exports.
inline constexpr char kCudaLibraryFile[] = "libpixelrec_cuda.so";
inline constexpr char kCudaLibraryVersion[] = "PixelrecCudaLibraryVersion";  // const char*()
inline constexpr char kCudaLibraryInstance[] = "PixelrecCudaLibrary";        // const CudaLibrary*()

}  // namespace pixelrec::dist
