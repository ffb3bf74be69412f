#include "coordinator/daemon.h"

#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/metrics/family.h"
#include "common/storage/atomic_file.h"
#include "coordinator/journal/journal.h"
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
  policy.elastic_grow_after = config.elastic_grow_after;
  return policy;
}

absl::Status WriteReadyFile(const std::filesystem::path& file, const std::string& grpc, const std::string& metrics) {
  const nlohmann::json ready = {{"pid", getpid()}, {"grpc", grpc}, {"metrics", metrics}};
  return storage::WriteFileAtomically(file, ready.dump() + "\n");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Settings& settings) {
  const config::CoordinatorConfig& config = settings.config;
  if (config.roots.empty() && !rpc::IsLoopback(config.listen)) {
    return absl::FailedPreconditionError(
        absl::StrCat("refusing to serve on ", config.listen,
                     " without `roots`: anyone who reaches it could read and write any path; set "
                     "`roots` in coordinator.yaml to the directories that jobs may use"));
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
  absl::StatusOr<std::unique_ptr<Engine>> engine =
      Engine::Start({.policy = MakePolicy(config), .instruments = daemon->instruments_.get(), .series = daemon->series_.get()},
                    *std::move(journal));
  if (!engine.ok()) {
    return engine.status();
  }
  daemon->engine_ = *std::move(engine);
  JobService::Options job_options;
  job_options.roots = config.roots;
  daemon->jobs_ = std::make_unique<JobService>(*daemon->engine_, daemon->logs_, *daemon->series_, std::move(job_options));
  daemon->workers_ = std::make_unique<WorkerService>(*daemon->engine_, daemon->logs_);

  rpc::Server::Options options;
  options.address = config.listen;
  options.insecure = config.insecure;
  options.interceptors.push_back(MakeRpcMetrics(daemon->exposer_->registry()));
  absl::StatusOr<std::unique_ptr<rpc::Server>> server =
      rpc::Server::Start(std::move(options), {daemon->jobs_.get(), daemon->workers_.get()});
  if (!server.ok()) {
    return server.status();
  }
  daemon->server_ = *std::move(server);
  daemon->server_->SetReady(true);
  if (!settings.ready_file.empty()) {
    if (absl::Status status = WriteReadyFile(settings.ready_file, daemon->grpc_address(), daemon->metrics_address());
        !status.ok()) {
      return status;
    }
  }
  return daemon;
}

Daemon::~Daemon() { Stop(); }

void Daemon::Stop() {
  if (server_ != nullptr) {
    server_->SetReady(false);
  }
  if (engine_ != nullptr) {
    engine_->Stop();
  }
  if (server_ != nullptr) {
    server_->Stop(kStopGrace);
  }
}

}  // namespace pixelrec::coordinator
