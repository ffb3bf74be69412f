#include "worker/channel/position_page.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/storage/atomic_file.h"

namespace pixelrec::channel {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr int64_t kUnknown = -1;

}  // namespace

absl::StatusOr<PositionPage> PositionPage::Create() {
  storage::UniqueFd fd(memfd_create("pixelrec-position", MFD_CLOEXEC));
  if (!fd.valid() || ftruncate(fd.get(), sizeof(Page)) != 0)
    return storage::ErrnoStatus(errno, "can't make a page of memory for", "a trainer's position");
  return Open(fd.release());
}

absl::StatusOr<PositionPage> PositionPage::Open(int fd) {
  storage::UniqueFd owned(fd);
  struct stat status {};
  if (fstat(fd, &status) != 0 || status.st_size < static_cast<off_t>(sizeof(Page)))
    return absl::InvalidArgumentError("not a page of a trainer's position");
  void* memory = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return storage::ErrnoStatus(errno, "can't map", "the page of a trainer's position");
  return PositionPage(std::move(owned), static_cast<Page*>(memory));
}

PositionPage::PositionPage(PositionPage&& other) noexcept
    : fd_(std::move(other.fd_)), page_(std::exchange(other.page_, nullptr)) {}

PositionPage::~PositionPage() {
  if (page_ != nullptr) munmap(page_, sizeof(Page));
}

void PositionPage::Write(const Position& position) {
  const uint64_t number = page_->writes.load() + 1;
  Slot& slot = page_->slots[number % 2];
  slot.section = position.section;
  slot.step = position.step;
  slot.collective = static_cast<int64_t>(position.collective);
  slot.waits = position.waits ? 1 : 0;
  slot.since = nanoseconds(position.since.time_since_epoch()).count();
  slot.typical = position.typical ? position.typical->count() : kUnknown;
  page_->writes = number;
}

std::optional<Position> PositionPage::Read() const {
  constexpr int kAttempts = 8;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const uint64_t number = page_->writes.load();
    if (number == 0) return std::nullopt;
    const Slot& slot = page_->slots[number % 2];
    Position position{.section = static_cast<int32_t>(slot.section),
                      .step = slot.step,
                      .collective = static_cast<uint64_t>(slot.collective.load()),
                      .waits = slot.waits != 0,
                      .since = steady_clock::time_point(nanoseconds(slot.since.load()))};
    if (const int64_t typical = slot.typical; typical >= 0) position.typical = nanoseconds(typical);
    // The writer begins to overwrite this slot only once the next number is there.
    if (page_->writes.load() == number) return position;
  }
  return std::nullopt;
}

}  // namespace pixelrec::channel
