#include "ctl/local/detached.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"
#include "ctl/local/cluster_state.h"

namespace pixelrec::ctl {
namespace {

bool WaitForEnd(int pidfd, absl::Duration at_most) {
  pollfd fd = {pidfd, POLLIN, 0};
  int result;
  do {
    result = poll(&fd, 1, static_cast<int>(absl::ToInt64Milliseconds(at_most)));
  } while (result < 0 && errno == EINTR);
  return result > 0;
}

}  // namespace

std::filesystem::path OwnProgram() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error);
}

std::filesystem::path TrainerProgram() {
  const char* const named = std::getenv("PIXELREC_TRAINER");
  if (named != nullptr && *named != '\0') return std::filesystem::absolute(named);
  return OwnProgram().parent_path() / "pixelrec-trainer";
}

absl::StatusOr<pid_t> SpawnDetached(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                                    const std::filesystem::path& log) {
  const storage::UniqueFd output(open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644));
  if (!output.valid()) return storage::ErrnoStatus(errno, "can't open", log);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.get(), STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(&attributes, &signals);

  std::vector<std::string> words = {program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return storage::ErrnoStatus(error, "can't start", program);
  return pid;
}

absl::Status StopSupervisor(const std::filesystem::path& dir, absl::Duration grace) {
  const absl::Status none = absl::NotFoundError(absl::StrCat("no local cluster is running in ", dir.string()));
  const std::optional<pid_t> pid = SupervisorOf(dir);
  if (!pid) return none;
  const storage::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));
  // Between the two looks the number could have gone to another process; holding the lock, it is ours.
  if (!pidfd.valid() || SupervisorOf(dir) != pid) return none;
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), SIGTERM, nullptr, 0) != 0) {
    return storage::ErrnoStatus(errno, absl::StrCat("can't stop process ", *pid, " of"), dir);
  }
  if (WaitForEnd(pidfd.get(), grace)) return absl::OkStatus();
  // Its children have asked to be killed with it.
  syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  if (WaitForEnd(pidfd.get(), grace)) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("process ", *pid, " does not end"));
}

}  // namespace pixelrec::ctl
