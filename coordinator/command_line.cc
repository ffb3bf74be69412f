#include "coordinator/command_line.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/process/crash_point.h"

namespace pixelrec::coordinator {

namespace {

// Marks errors of the command line itself, which have their own exit code.
constexpr char kUsagePayload[] = "pixelrec.usage";
constexpr char kConfigPayload[] = "pixelrec.config";

absl::Status Marked(absl::Status status, const char* payload) {
  status.SetPayload(payload, absl::Cord("1"));
  return status;
}

void AddSecurityFlags(CLI::App& app, config::ServerSecurity& security) {
  app.add_option("--tls-cert", security.tls_cert, "own certificate (PEM); asks for TLS");
  app.add_option("--tls-key", security.tls_key, "its private key (PEM)");
  app.add_option("--tls-client-ca", security.tls_client_ca, "certificates (PEM) that sign those of clients");
  app.add_option("--token-file", security.token_file, "roles, names and hashes of tokens");
  app.add_flag("--insecure", security.insecure, "plaintext, without authentication, on an address that isn't loopback");
}

}  // namespace

absl::StatusOr<std::optional<Settings>> ParseCommandLine(int argc, const char* const* argv) {
  CLI::App app("The coordinator of PixelRec Trainer: takes jobs, forms gangs of workers, commits checkpoints.",
               "pixelrec-coordinator");
  std::string file, listen, metrics_listen, health_listen, state_dir, ready_file, crash_at;
  config::ServerSecurity security;
  app.set_version_flag("--version", PIXELREC_VERSION);
  app.add_option("--config", file, "coordinator.yaml");
  app.add_option("--listen", listen, "gRPC address HOST:PORT; port 0: any free one");
  app.add_option("--metrics-listen", metrics_listen, "address HOST:PORT of /metrics");
  app.add_option("--health-listen", health_listen, "plaintext address HOST:PORT of the health service alone");
  app.add_option("--state-dir", state_dir, "folder of the journal");
  bool reflection = false;
  app.add_flag("--reflection", reflection, "serve gRPC's reflection service, for grpcurl and the like");
  AddSecurityFlags(app, security);
  app.add_option("--ready-file", ready_file, "written once serving: JSON with pid and addresses");
  app.add_option("--crash-at", crash_at, "POINT:N, for tests of recovery: die as by kill -9 when POINT is passed the N-th time");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      return std::optional<Settings>();
    }
    return Marked(absl::InvalidArgumentError(error.what()), kUsagePayload);
  }
  if (!crash_at.empty()) {
    if (absl::Status status = process::ArmCrashPoint(crash_at); !status.ok()) {
      return Marked(absl::InvalidArgumentError(absl::StrCat("--crash-at: ", status.message())), kUsagePayload);
    }
  }
  Settings settings;
  if (!file.empty()) {
    absl::StatusOr<config::CoordinatorConfig> loaded = config::LoadCoordinatorConfig(file);
    if (!loaded.ok()) {
      return Marked(loaded.status(), kConfigPayload);
    }
    settings.config = *std::move(loaded);
  }
  if (!listen.empty()) settings.config.listen = listen;
  if (!metrics_listen.empty()) settings.config.metrics_listen = metrics_listen;
  if (!health_listen.empty()) settings.config.health_listen = health_listen;
  if (!state_dir.empty()) settings.config.state_dir = state_dir;
  settings.config.reflection |= reflection;
  Override(settings.config.security, security);
  settings.ready_file = ready_file;
  return std::make_optional(std::move(settings));
}

int ReportError(const absl::Status& status) {
  std::cerr << "error: " << status.message() << std::endl;
  if (status.GetPayload(kUsagePayload).has_value()) {
    return 2;
  }
  if (status.GetPayload(kConfigPayload).has_value() || absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status)) {
    return 4;
  }
  return absl::IsUnavailable(status) ? 6 : 1;
}

}  // namespace pixelrec::coordinator
