#include "common/config/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/config/yaml_tree.h"

namespace pixelrec::config {
namespace {

absl::Status Refusal(const std::filesystem::path& file, int error) {
  const std::string message = absl::StrCat(file.string(), ": ", std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::InvalidArgumentError(message);
}

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Refusal(file, errno);
  std::string text(YamlTree::kMaxBytes + 1, '\0');
  size_t filled = 0;
  ssize_t got = 1;
  while (filled < text.size() && got != 0) {
    got = read(fd, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      close(fd);
      return Refusal(file, error);
    }
    filled += static_cast<size_t>(got);
  }
  close(fd);
  text.resize(filled);
  return text;
}

}  // namespace pixelrec::config
