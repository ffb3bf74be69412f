// pixelrec-coordinator: takes jobs, forms gangs, commits checkpoints. docs/map.md tells where to read on.
#include <iostream>

#include "common/process/signals.h"
#include "coordinator/command_line.h"
#include "coordinator/daemon.h"

int main(int argc, char** argv) {
  using pixelrec::coordinator::Daemon;
  auto stop = pixelrec::process::StopSignal::Install();
  if (!stop.ok()) {
    return pixelrec::coordinator::ReportError(stop.status());
  }
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
  const int signal = stop->Wait();
  std::cerr << "pixelrec-coordinator stops (signal " << signal << ")" << std::endl;
  (*daemon)->Stop();
  return 0;
}
