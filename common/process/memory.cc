#include "common/process/memory.h"

#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::process {

absl::StatusOr<int64_t> ResidentBytes(pid_t pid) {
  const std::string file = pid == 0 ? "/proc/self/statm" : absl::StrCat("/proc/", pid, "/statm");
  const absl::StatusOr<std::string> text = storage::ReadFile(file);
  if (!text.ok()) return text.status();
  const std::vector<absl::string_view> fields = absl::StrSplit(*text, ' ');
  int64_t pages = 0;
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pages))
    return absl::InternalError(absl::StrCat(file, " is not as expected"));
  return pages * sysconf(_SC_PAGESIZE);
}

int64_t HostMemoryBytes() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  int64_t limit = 0;
  if (const auto text = storage::ReadFile("/sys/fs/cgroup/memory.max");
      text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &limit) && limit > 0) {
    bytes = std::min(bytes, limit);
  }
  return bytes;
}

}  // namespace pixelrec::process
