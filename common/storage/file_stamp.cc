#include "common/storage/file_stamp.h"

#include <ctime>

namespace pixelrec::storage {
namespace {

constexpr int64_t kSettledAfterNs = 100'000'000;

int64_t Nanoseconds(const timespec& time) { return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec; }

}  // namespace

FileStamp StampOf(const std::filesystem::path& file) {
  struct stat status;
  if (stat(file.c_str(), &status) != 0) return {};
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  FileStamp stamp{.device = status.st_dev,
                  .inode = status.st_ino,
                  .bytes = static_cast<uint64_t>(status.st_size),
                  .modified_ns = Nanoseconds(status.st_mtim),
                  .changed_ns = Nanoseconds(status.st_ctim),
                  .exists = true};
  stamp.settled = Nanoseconds(now) - stamp.changed_ns > kSettledAfterNs;
  return stamp;
}

}  // namespace pixelrec::storage
