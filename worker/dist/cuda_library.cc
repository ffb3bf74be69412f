#include "worker/dist/cuda_library.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace pixelrec::dist {
namespace {

namespace fs = std::filesystem;

// Beside the program; or in the build's bin/, for a test program.
fs::path FindLibrary() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& place : {folder, folder.parent_path() / "bin"}) {
    if (fs::exists(place / kCudaLibraryFile, error)) return place / kCudaLibraryFile;
  }
  return {};
}

absl::StatusOr<const CudaLibrary*> Load() {
  const fs::path file = FindLibrary();
  if (file.empty())
    return absl::NotFoundError(absl::StrCat("this build has no CUDA (no ", kCudaLibraryFile, " beside the program)"));
  const auto unusable = [&](const std::string& why) {
    return absl::FailedPreconditionError(absl::StrCat(file.string(), " can't be used: ", why));
  };
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) return unusable(dlerror());
  const auto version = reinterpret_cast<const char* (*)()>(dlsym(library, kCudaLibraryVersion));
  const auto instance = reinterpret_cast<const CudaLibrary* (*)()>(dlsym(library, kCudaLibraryInstance));
  if (version == nullptr || instance == nullptr) return unusable("it is another library of that name");
  if (std::string(version()) != PIXELREC_VERSION)
    return unusable(absl::StrCat("it is of version ", version(), ", this program of ", PIXELREC_VERSION));
  return instance();
}

}  // namespace

absl::StatusOr<const CudaLibrary*> LoadCudaLibrary() {
  static const absl::StatusOr<const CudaLibrary*> loaded = Load();
  return loaded;
}

}  // namespace pixelrec::dist
