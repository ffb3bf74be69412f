#include "common/process/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::process {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// posix_spawn reports a failed open of the output with the same errno as a failed exec, so that the output is opened here.
absl::StatusOr<storage::UniqueFd> OpenOutput(const std::filesystem::path& path) {
  storage::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd.valid()) return storage::ErrnoStatus(errno, "can't open", path);
  return fd;
}

// Copies whose numbers lie above those that they are to have in the child, so that none overwrites another on its way there.
absl::StatusOr<std::vector<storage::UniqueFd>> OutOfTheWay(const std::vector<int>& fds) {
  std::vector<storage::UniqueFd> copies;
  for (const int fd : fds) {
    copies.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, kInheritedFd + static_cast<int>(fds.size())));
    if (!copies.back().valid()) return storage::ErrnoStatus(errno, "can't copy", "a descriptor for a child process");
  }
  return copies;
}

void SetFileActions(posix_spawn_file_actions_t& actions, int output, const std::vector<storage::UniqueFd>& inherited) {
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (output >= 0) {
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  }
  int next = kInheritedFd;
  for (const storage::UniqueFd& fd : inherited) posix_spawn_file_actions_adddup2(&actions, fd.get(), next++);
  posix_spawn_file_actions_addclosefrom_np(&actions, next);
}

void SetAttributes(posix_spawnattr_t& attributes) {
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Child>> Child::Spawn(const SpawnOptions& options) {
  storage::UniqueFd output;
  if (!options.output.empty()) {
    absl::StatusOr<storage::UniqueFd> opened = OpenOutput(options.output);
    if (!opened.ok()) return opened.status();
    output = *std::move(opened);
  }
  const auto inherited = OutOfTheWay(options.inherited_fds);
  if (!inherited.ok()) return inherited.status();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  absl::Cleanup destroy = [&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  };
  SetFileActions(actions, output.get(), *inherited);
  SetAttributes(attributes);

  std::vector<std::string> arguments{options.program.string()};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  pid_t pid = -1;
  const int error = posix_spawn(&pid, options.program.c_str(), &actions, &attributes, Pointers(arguments).data(),
                                Pointers(options.environment).data());
  if (error != 0) return storage::ErrnoStatus(error, "can't start", options.program);
  // Not reaped yet, so the number can't have been given to another process.
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    const int pidfd_error = errno;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return storage::ErrnoStatus(pidfd_error, "can't watch", options.program);
  }
  return std::unique_ptr<Child>(new Child(pid, pidfd));
}

Child::~Child() {
  if (exit_.has_value()) return;
  Signal(SIGKILL);
  Wait(WEXITED);
}

void Child::Signal(int signal) {
  if (!exit_.has_value()) syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0);
}

bool Child::IsStopped() const {
  siginfo_t info{};
  // Asked again, it is said again: nothing is taken away, so that Reap sees what it always does.
  return !exit_.has_value() && waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid_ && info.si_code == CLD_STOPPED;
}

std::optional<Exit> Child::Reap() { return Wait(WEXITED | WNOHANG); }

std::optional<Exit> Child::Wait(int flags) {
  if (exit_.has_value()) return exit_;
  siginfo_t info{};
  int result;
  do {
    result = waitid(P_PID, static_cast<id_t>(pid_), &info, flags);
  } while (result != 0 && errno == EINTR);
  if (result != 0 || info.si_pid == 0) return std::nullopt;
  exit_ = info.si_code == CLD_EXITED ? Exit{info.si_status, 0} : Exit{-1, info.si_status};
  return exit_;
}

std::vector<std::string> AllowedEnvironment(const std::vector<absl::string_view>& allowed) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view variable(*entry);
    const absl::string_view name = variable.substr(0, variable.find('='));
    for (absl::string_view pattern : allowed) {
      const bool prefix = absl::ConsumeSuffix(&pattern, "*");
      if (prefix ? absl::StartsWith(name, pattern) : name == pattern) {
        environment.emplace_back(variable);
        break;
      }
    }
  }
  return environment;
}

}  // namespace pixelrec::process
