#include "ctl/client/interrupt.h"

#include <poll.h>

#include <cstdlib>
#include <utility>

namespace pixelrec::ctl {

absl::StatusOr<std::unique_ptr<Interrupt>> Interrupt::Install() {
  auto signal = process::StopSignal::Install();
  if (!signal.ok()) return signal.status();
  return std::unique_ptr<Interrupt>(new Interrupt(*std::move(signal)));
}

Interrupt::Interrupt(process::StopSignal signal) : signal_(std::move(signal)), thread_([this] { Wait(); }) {}

Interrupt::~Interrupt() {
  done_.Wake();
  thread_.join();
}

void Interrupt::Wait() {
  while (true) {
    pollfd fds[] = {{signal_.fd(), POLLIN, 0}, {done_.fd(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    const int signal = signal_.Take();
    if (signal == 0) continue;
    if (source_.stop_requested()) std::quick_exit(128 + signal);  // a terminal that was taken over is given back first
    source_.request_stop();
  }
}

}  // namespace pixelrec::ctl
