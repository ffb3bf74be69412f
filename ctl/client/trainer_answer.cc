#include "ctl/client/trainer_answer.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/process/child.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"
#include "ctl/exit_code.h"
#include "ctl/local/detached.h"

namespace pixelrec::ctl {
namespace {

// Nothing of it stays on any disk.
absl::StatusOr<storage::UniqueFd> MemoryFile(const std::string& content) {
  storage::UniqueFd fd(memfd_create("pixelrecctl", MFD_CLOEXEC));
  if (!fd.valid()) return storage::ErrnoStatus(errno, "can't make", "a file in memory");
  for (size_t done = 0; done < content.size();) {
    const ssize_t written = write(fd.get(), content.data() + done, content.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return storage::ErrnoStatus(errno, "can't write", "a file in memory");
    done += static_cast<size_t>(written);
  }
  return fd;
}

std::string PathOf(const storage::UniqueFd& fd) { return absl::StrCat("/proc/self/fd/", fd.get()); }

}  // namespace

absl::StatusOr<std::string> AskTrainer(const std::vector<std::string>& arguments, const std::string& input) {
  const auto question = MemoryFile(input), answer = MemoryFile("");
  if (!question.ok()) return question.status();
  if (!answer.ok()) return answer.status();
  const auto child =
      process::Child::Spawn({.program = TrainerProgram(),
                             .arguments = arguments,
                             .environment = process::AllowedEnvironment({"PATH", "HOME", "LD_LIBRARY_PATH", "*_OPTIONS"}),
                             .inherited_fds = {question->get()},
                             .output = PathOf(*answer)});
  if (!child.ok()) return child.status();
  pollfd end = {(*child)->pidfd(), POLLIN, 0};
  while (poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
  const auto exit = (*child)->Reap();
  const auto text = storage::ReadFile(PathOf(*answer));
  if (!text.ok()) return text.status();
  if (exit && exit->code == 0) return *text;
  const absl::string_view message = absl::StripSuffix(absl::StripPrefix(*text, "error: "), "\n");
  if (exit && exit->code == kExitNotFound) return absl::NotFoundError(message);
  if (exit && exit->code == kExitRefused) return absl::InvalidArgumentError(message);
  return absl::InternalError(absl::StrCat(TrainerProgram().string(), " failed: ", message.empty() ? "no message" : message));
}

}  // namespace pixelrec::ctl
