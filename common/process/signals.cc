#include "common/process/signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "common/storage/atomic_file.h"

namespace pixelrec::process {

absl::StatusOr<StopSignal> StopSignal::Install() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  if (const int error = pthread_sigmask(SIG_BLOCK, &stop, nullptr); error != 0) {
    return storage::ErrnoStatus(error, "can't block signals", "");
  }
  const int fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return storage::ErrnoStatus(errno, "can't open a signalfd", "");
  return StopSignal(fd);
}

int StopSignal::Take() {
  signalfd_siginfo info;
  return read(fd_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info)) ? static_cast<int>(info.ssi_signo) : 0;
}

int StopSignal::Wait() {
  for (;;) {
    if (const int taken = Take(); taken != 0) return taken;
    pollfd wait{fd_.get(), POLLIN, 0};
    poll(&wait, 1, -1);
  }
}

}  // namespace pixelrec::process
