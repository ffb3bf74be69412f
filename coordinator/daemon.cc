#include "coordinator/daemon.h"

#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/metrics/family.h"
#include "common/rpc/tls/server_credentials.h"
#include "common/storage/atomic_file.h"
#include "coordinator/journal/journal.h"
#include "coordinator/service/access/foreign_calls.h"
#include "coordinator/service/rpc_metrics.h"

namespace pixelrec::coordinator {

namespace {

constexpr std::chrono::milliseconds kStopGrace{2000};

absl::StatusOr<std::unique_ptr<Journal>> OpenJournal(const std::filesystem::path& state_dir) {
  std::error_code error;
  std::filesystem::create_directories(state_dir, error);
  if (error) {
    return storage::ErrnoStatus(error.value(), "create the state directory", state_dir);
  }
  return Journal::Open({.path = state_dir / "journal.db"});
}

Policy MakePolicy(const config::CoordinatorConfig& config) {
  Policy policy;
  policy.lease = config.lease;
  policy.beat_interval = config.beat_interval;
  policy.orphan_grace = config.orphan_grace;
  policy.start_timeout = config.start_timeout;
  policy.stop_grace = config.stop_grace;
  policy.hang_floor = config.hang_floor;
  policy.keep_ended_jobs = static_cast<size_t>(config.keep_ended_jobs);
  policy.keep_ended_for = config.keep_ended_for;
  policy.elastic_grow_after = config.elastic_grow_after;
  return policy;
}

absl::Status WriteReadyFile(const std::filesystem::path& file, const Daemon& daemon) {
  nlohmann::json ready = {{"pid", getpid()}, {"grpc", daemon.grpc_address()}, {"metrics", daemon.metrics_address()}};
  if (!daemon.health_address().empty()) {
    ready["health"] = daemon.health_address();
  }
  return storage::WriteFileAtomically(file, ready.dump() + "\n");
}

void Say(absl::string_view text) { std::cerr << "pixelrec-coordinator: " << text << std::endl; }

// What must be so before anything is opened.
absl::Status CheckSafe(const config::CoordinatorConfig& config) {
  const config::ServerSecurity& security = config.security;
  if (security.tls_cert.empty() && (!security.tls_key.empty() || !security.tls_client_ca.empty())) {
    return absl::InvalidArgumentError("tls_key and tls_client_ca need tls_cert, the coordinator's own certificate");
  }
  if (rpc::IsLoopback(config.listen)) {
    return absl::OkStatus();
  }
  if (config.roots.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("refusing to serve on ", config.listen,
                     " without `roots`: anyone who reaches it could read and write any path; set "
                     "`roots` in coordinator.yaml to the directories that jobs may use"));
  }
  if (!security.tls_cert.empty() && security.tls_client_ca.empty() && security.token_file.empty() && !security.insecure) {
    return absl::FailedPreconditionError(absl::StrCat(
        "refusing to serve on ", config.listen,
        " without token_file or tls_client_ca: nothing would tell one caller from another, and everybody would be an admin"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const config::ServerSecurity& security) {
  if (security.tls_cert.empty()) {
    return nullptr;
  }
  auto source = rpc::TlsSource::Create(
      {.files = {security.tls_cert, security.tls_key, security.tls_client_ca}, .log = Say, .now = absl::Now});
  if (!source.ok()) {
    return source.status();
  }
  return rpc::ReloadingServerCredentials(*std::move(source));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Settings& settings) {
  const config::CoordinatorConfig& config = settings.config;
  if (absl::Status status = CheckSafe(config); !status.ok()) {
    return status;
  }
  if (absl::StatusOr<int64_t> limit = rpc::RaiseDescriptorLimit(); !limit.ok()) {
    return limit.status();
  }
  // The journal first: it is what tells a second coordinator to go.
  absl::StatusOr<std::unique_ptr<Journal>> journal = OpenJournal(config.state_dir);
  if (!journal.ok()) {
    return journal.status();
  }
  std::unique_ptr<Daemon> daemon(new Daemon());
  absl::StatusOr<std::unique_ptr<metrics::Exposer>> exposer = metrics::Exposer::Start(config.metrics_listen);
  if (!exposer.ok()) {
    return exposer.status();
  }
  daemon->exposer_ = *std::move(exposer);
  metrics::SetBuildInfo(daemon->exposer_->registry(), "pixelrec-coordinator", PIXELREC_VERSION);
  daemon->instruments_ = std::make_unique<Instruments>(daemon->exposer_->registry());

  daemon->series_ = Series::Start({.file = {.path = config.state_dir / "metrics.db"},
                                   .complain = [](const std::string& text) { std::cerr << text << std::endl; }});
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Start({.policy = MakePolicy(config),
                                                                  .instruments = daemon->instruments_.get(),
                                                                  .compact_after = config.compact_after,
                                                                  .series = daemon->series_.get()},
                                                                 *std::move(journal));
  if (!engine.ok()) {
    return engine.status();
  }
  daemon->engine_ = *std::move(engine);
  if (absl::Status status = daemon->OpenAccess(config); !status.ok()) {
    return status;
  }
  JobService::Options job_options;
  job_options.roots = config.roots;
  daemon->jobs_ =
      std::make_unique<JobService>(*daemon->engine_, daemon->logs_, *daemon->gate_, *daemon->series_, std::move(job_options));
  daemon->workers_ = std::make_unique<WorkerService>(*daemon->engine_, daemon->logs_, *daemon->gate_);
  if (absl::Status status = daemon->StartServers(config); !status.ok()) {
    return status;
  }
  if (!settings.ready_file.empty()) {
    if (absl::Status status = WriteReadyFile(settings.ready_file, *daemon); !status.ok()) {
      return status;
    }
  }
  return daemon;
}

absl::Status Daemon::OpenAccess(const config::CoordinatorConfig& config) {
  const config::ServerSecurity& security = config.security;
  if (!security.token_file.empty() || !security.tls_client_ca.empty()) {
    auto authenticator = rpc::Authenticator::Create({.token_file = security.token_file, .log = Say, .now = absl::Now});
    if (!authenticator.ok()) {
      return authenticator.status();
    }
    authenticator_ = *std::move(authenticator);
  }
  auto audit = AuditLog::Open({.file = config.state_dir / "audit.log", .now = absl::Now, .log = Say});
  if (!audit.ok()) {
    return audit.status();
  }
  audit_ = *std::move(audit);
  gate_ = std::make_unique<Gate>(authenticator_.get(), audit_.get());
  return absl::OkStatus();
}

absl::Status Daemon::StartServers(const config::CoordinatorConfig& config) {
  auto credentials = Credentials(config.security);
  if (!credentials.ok()) {
    return credentials.status();
  }
  rpc::Server::Options options;
  options.address = config.listen;
  options.insecure = config.security.insecure;
  options.credentials = *std::move(credentials);
  options.reflection = config.reflection;
  options.interceptors.push_back(MakeRpcMetrics(exposer_->registry()));
  options.interceptors.push_back(GuardForeignCalls(*gate_));
  absl::StatusOr<std::unique_ptr<rpc::Server>> server = rpc::Server::Start(std::move(options), {jobs_.get(), workers_.get()});
  if (!server.ok()) {
    return server.status();
  }
  server_ = *std::move(server);
  if (!config.health_listen.empty()) {
    rpc::Server::Options health;
    health.address = config.health_listen;
    health.insecure = true;  // it says no more than whether this process serves
    absl::StatusOr<std::unique_ptr<rpc::Server>> started = rpc::Server::Start(std::move(health), {});
    if (!started.ok()) {
      return started.status();
    }
    health_ = *std::move(started);
    health_->SetReady(true);
  }
  server_->SetReady(true);
  return absl::OkStatus();
}

Daemon::~Daemon() { Stop(); }

void Daemon::Stop() {
  for (rpc::Server* server : {server_.get(), health_.get()}) {
    if (server != nullptr) {
      server->SetReady(false);
    }
  }
  if (engine_ != nullptr) {
    engine_->Stop();
  }
  if (server_ != nullptr) {
    server_->Stop(kStopGrace);
  }
  if (health_ != nullptr) {
    health_->Stop(std::chrono::milliseconds(0));
  }
}

}  // namespace pixelrec::coordinator
