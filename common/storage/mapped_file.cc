#include "common/storage/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::storage {

absl::StatusOr<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  // O_NONBLOCK: a pipe in the file's place must not make the program wait for a writer.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "cannot open", path);
  struct stat about;
  if (::fstat(fd.get(), &about) != 0) return ErrnoStatus(errno, "cannot open", path);
  if (!S_ISREG(about.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path.string(), ": not a regular file"));
  const auto bytes = static_cast<size_t>(about.st_size);
  if (bytes == 0) return MappedFile(nullptr, 0);
  void* const map = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) return ErrnoStatus(errno, "cannot map", path);
  return MappedFile(map, bytes);
}

MappedFile::~MappedFile() {
  if (map_ != nullptr) ::munmap(map_, bytes_);
}

}  // namespace pixelrec::storage
