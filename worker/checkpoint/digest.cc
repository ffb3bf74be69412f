#include "worker/checkpoint/digest.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <new>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::checkpoint {

void Digest::FreeState::operator()(void* state) const { XXH3_freeState(static_cast<XXH3_state_t*>(state)); }

Digest::Digest() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_.get()));
}

void Digest::Add(absl::Span<const std::byte> bytes) {
  if (bytes.empty()) return;
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_.get()), bytes.data(), bytes.size());
  bytes_ += bytes.size();
}

FileDigest Digest::Finish() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_.get()));
  return FileDigest{bytes_, absl::StrFormat("%016x%016x", hash.high64, hash.low64)};
}

FileDigest DigestOf(absl::string_view text) {
  Digest digest;
  digest.Add(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size()));
  return digest.Finish();
}

absl::StatusOr<FileDigest> DigestFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return storage::ErrnoStatus(errno, "cannot read", path);
  const auto close_file = absl::MakeCleanup([fd] { ::close(fd); });
  std::vector<std::byte> block(size_t{1} << 20);
  Digest digest;
  while (true) {
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got == 0) return digest.Finish();
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return storage::ErrnoStatus(errno, "cannot read", path);
    digest.Add(absl::MakeConstSpan(block.data(), static_cast<size_t>(got)));
  }
}

}  // namespace pixelrec::checkpoint
