// One child process: started with posix_spawn, its end seen through a pidfd that any poll loop can wait on.
//
// posix_spawn and nothing else, because a process with gRPC's threads must not run code of its own between fork and exec.
// No shell: the program and its arguments are passed as they are. The child gets exactly the environment given, default signal
// handling, a process group of its own (a Ctrl-C for the daemon doesn't reach it) and no descriptor but 0, 1, 2 and
// `inherited_fds`.
//
// Threads: one. The spawning thread must live as long as the children, because PR_SET_PDEATHSIG fires when *it* ends.
//
//   auto child = process::Child::Spawn({.program = "/usr/bin/true"});
//   poll((*child)->pidfd(), POLLIN);
//   process::Exit exit = *(*child)->Reap();
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::process {

// The number that the first inherited descriptor has in the child; the others follow.
inline constexpr int kInheritedFd = 3;

struct SpawnOptions {
  std::filesystem::path program;
  std::vector<std::string> arguments = {};    // behind argv[0]
  std::vector<std::string> environment = {};  // "NAME=VALUE", all of it
  std::vector<int> inherited_fds = {};        // of this process
  std::filesystem::path output = {};          // stdout and stderr are appended here; empty: inherited
};

struct Exit {
  int code = 0;    // 0-255; -1 if ended by a signal
  int signal = 0;  // 0 if it ended by itself
  bool operator==(const Exit&) const = default;
};

class Child {
 public:
  // NOT_FOUND: no such program. PERMISSION_DENIED: not executable, or `output` can't be written. Other errors as errno says.
  static absl::StatusOr<std::unique_ptr<Child>> Spawn(const SpawnOptions& options);

  // Kills and reaps what still runs.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  // Readable once the child has ended.
  int pidfd() const { return pidfd_.get(); }
  void Signal(int signal);
  // By SIGSTOP, or from a terminal; a process under a debugger is not.
  bool IsStopped() const;
  // Never blocks. Nothing: it still runs. The same answer ever after.
  std::optional<Exit> Reap();

 private:
  Child(pid_t pid, int pidfd) : pid_(pid), pidfd_(pidfd) {}
  std::optional<Exit> Wait(int flags);

  pid_t pid_;
  storage::UniqueFd pidfd_;
  std::optional<Exit> exit_;
};

// "NAME=VALUE" of this process's variables that `allowed` names; "PREFIX_*" allows every name that begins so.
std::vector<std::string> AllowedEnvironment(const std::vector<absl::string_view>& allowed);

}  // namespace pixelrec::process
