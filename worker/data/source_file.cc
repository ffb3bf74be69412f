#include "worker/data/source_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"
#include "worker/data/decompressor.h"
#include "xxhash.h"

namespace pixelrec::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPortion = 1u << 20;

struct HashStateDeleter {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

// Reads `file` in portions; returns the hash of what was read.
absl::StatusOr<std::string> ReadPortions(const fs::path& file, const std::function<absl::Status(absl::string_view)>& on_portion) {
  // O_NONBLOCK: a FIFO must be refused, not waited for.
  storage::UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return storage::ErrnoStatus(errno, "can't open", file);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return storage::ErrnoStatus(errno, "can't stat", file);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(file.string(), ": not a regular file"));

  const std::unique_ptr<XXH3_state_t, HashStateDeleter> state(XXH3_createState());
  XXH3_128bits_reset(state.get());
  std::vector<char> buffer(kPortion);
  for (;;) {
    const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return storage::ErrnoStatus(errno, "can't read", file);
    if (got == 0) break;
    XXH3_128bits_update(state.get(), buffer.data(), static_cast<size_t>(got));
    if (absl::Status status = on_portion({buffer.data(), static_cast<size_t>(got)}); !status.ok()) return status;
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return absl::StrFormat("%016x%016x", hash.high64, hash.low64);
}

}  // namespace

absl::StatusOr<std::string> HashFile(const fs::path& file, const OnBytes& on_bytes) {
  return ReadPortions(file, [&](absl::string_view portion) {
    on_bytes(portion.size());
    return absl::OkStatus();
  });
}

absl::Status ReadCsvFile(const fs::path& file, const std::string& expected_hash, CsvParser& parser, const OnBytes& on_bytes) {
  Decompressor decompressor(file.string(), [&](absl::string_view portion) { return parser.Feed(portion); });
  absl::StatusOr<std::string> hash = ReadPortions(file, [&](absl::string_view portion) {
    on_bytes(portion.size());
    return decompressor.Feed(portion);
  });
  if (!hash.ok()) return hash.status();
  if (absl::Status status = decompressor.Finish(); !status.ok()) return status;
  if (absl::Status status = parser.Finish(); !status.ok()) return status;
  if (*hash != expected_hash) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.string(), ": the file changed while it was read; submit the job again"));
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::data
