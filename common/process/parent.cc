#include "common/process/parent.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace pixelrec::process {

void DieWithParent(pid_t expected_parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The signal is only for deaths from now on.
  if (getppid() != expected_parent) raise(SIGKILL);
}

absl::StatusOr<pid_t> PeerPid(int fd) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 || credentials.pid <= 0) {
    return absl::UnavailableError(absl::StrCat("descriptor ", fd, " is not a socket inherited from a worker",
                                               errno != 0 ? absl::StrCat(": ", std::generic_category().message(errno)) : ""));
  }
  return credentials.pid;
}

absl::Status DieWithPeer(int fd) {
  const absl::StatusOr<pid_t> peer = PeerPid(fd);
  if (!peer.ok()) return peer.status();
  DieWithParent(*peer);
  return absl::OkStatus();
}

}  // namespace pixelrec::process
