// pixelrec-coordinator: takes jobs, forms gangs, commits checkpoints. docs/map.md tells where to read on.
#include <csignal>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "coordinator/command_line.h"
#include "coordinator/daemon.h"

int main(int argc, char** argv) {
  using pixelrec::coordinator::Daemon;
  // Before any thread exists, so that every thread inherits the mask and only sigwait() below sees the signals.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  auto settings = pixelrec::coordinator::ParseCommandLine(argc, argv);
  if (!settings.ok()) {
    return pixelrec::coordinator::ReportError(settings.status());
  }
  if (!settings->has_value()) {
    return 0;  // --help or --version
  }
  auto daemon = Daemon::Start(**settings);
  if (!daemon.ok()) {
    return pixelrec::coordinator::ReportError(daemon.status());
  }
  std::cerr << "pixelrec-coordinator serves gRPC on " << (*daemon)->grpc_address() << " and /metrics on "
            << (*daemon)->metrics_address() << std::endl;
  int signal = 0;
  sigwait(&stop_signals, &signal);
  std::cerr << "pixelrec-coordinator stops (signal " << signal << ")" << std::endl;
  (*daemon)->Stop();
  return 0;
}
