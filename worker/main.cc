// pixelrec-worker: reads flags and worker.yaml, then runs the agent until a signal.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/config/daemon_config.h"
#include "common/metrics/exposer.h"
#include "common/metrics/family.h"
#include "common/process/signals.h"
#include "common/rpc/server.h"
#include "common/storage/atomic_file.h"
#include "worker/agent/agent.h"
#include "worker/agent/visible_gpu.h"

namespace pixelrec {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string config_file, ready_file;
  std::string coordinator, worker_id, advertise_address, metrics_listen, work_dir, dataset_cache_dir, trainer;
  std::string device;
  int threads = 0;
  bool warm_spare = false;
  config::ClientSecurity security;
};

void Declare(CLI::App& app, Flags& flags) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // a supervisor appends to a given line
  app.add_option("--config", flags.config_file, "worker.yaml; flags override it");
  app.add_option("--coordinator", flags.coordinator, "HOST:PORT of the coordinator");
  app.add_option("--worker-id", flags.worker_id, "unique name of this worker; default HOSTNAME-DEVICE");
  app.add_option("--advertise-address", flags.advertise_address, "address at which other ranks reach this worker's trainers");
  app.add_option("--metrics-listen", flags.metrics_listen, "HOST:PORT of /metrics; port 0: any free one");
  app.add_option("--work-dir", flags.work_dir, "folder of the ranks' logs");
  app.add_option("--dataset-cache-dir", flags.dataset_cache_dir, "folder of prepared datasets");
  app.add_option("--trainer", flags.trainer, "trainer program; default pixelrec-trainer beside this one");
  app.add_option("--device", flags.device, "what its trainers compute on: cpu, or cuda:N");
  app.add_option("--threads", flags.threads, "compute threads of a trainer; 0: all of the host")->check(CLI::NonNegativeNumber);
  app.add_flag("--warm-spare", flags.warm_spare, "keep a trainer ready, libraries loaded, for the next rank");
  app.add_option("--tls-ca", flags.security.tls_ca, "certificates (PEM) that sign the coordinator's; asks for TLS");
  app.add_option("--tls-cert", flags.security.tls_cert, "own certificate (PEM), which says which worker this is");
  app.add_option("--tls-key", flags.security.tls_key, "its private key (PEM)");
  app.add_option("--token-file", flags.security.token_file, "holds the token that says which worker this is");
  app.add_flag("--insecure", flags.security.insecure, "plaintext to a coordinator that isn't on loopback");
  app.add_option("--ready-file", flags.ready_file, "written once /metrics serves and the coordinator was tried");
  app.set_version_flag("--version", PIXELREC_VERSION);
}

// As worker.yaml and the coordinator want it.
bool IsWorkerId(absl::string_view id) {
  return !id.empty() && id.size() <= 63 && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::string_view("._:-").find(c) != absl::string_view::npos;
  });
}

absl::StatusOr<config::WorkerConfig> Configure(const CLI::App& app, const Flags& flags) {
  config::WorkerConfig result;
  if (!flags.config_file.empty()) {
    absl::StatusOr<config::WorkerConfig> loaded = config::LoadWorkerConfig(flags.config_file);
    if (!loaded.ok()) return loaded.status();
    result = *std::move(loaded);
  }
  if (app.count("--coordinator") > 0) result.coordinator = flags.coordinator;
  if (app.count("--worker-id") > 0) result.worker_id = flags.worker_id;
  if (app.count("--advertise-address") > 0) result.advertise_address = flags.advertise_address;
  if (app.count("--metrics-listen") > 0) result.metrics_listen = flags.metrics_listen;
  if (app.count("--work-dir") > 0) result.work_dir = flags.work_dir;
  if (app.count("--dataset-cache-dir") > 0) result.dataset_cache_dir = flags.dataset_cache_dir;
  if (app.count("--trainer") > 0) result.trainer = flags.trainer;
  if (app.count("--device") > 0) result.device = flags.device;
  if (app.count("--threads") > 0) result.threads = flags.threads;
  if (app.count("--warm-spare") > 0) result.warm_spare = flags.warm_spare;
  Override(result.security, flags.security);
  if (result.worker_id.empty()) {
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    result.worker_id = absl::StrCat(absl::string_view(host).substr(0, 50), "-", absl::StrReplaceAll(result.device, {{":", "-"}}));
  }
  if (!IsWorkerId(result.worker_id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker id '", result.worker_id,
                     "': must be 1-63 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-'; choose one with --worker-id"));
  }
  if (result.trainer.empty()) result.trainer = fs::read_symlink("/proc/self/exe").parent_path() / "pixelrec-trainer";
  // Trainers run with this process's folder, but what they are told should not depend on it.
  result.work_dir = fs::absolute(result.work_dir);
  result.dataset_cache_dir = fs::absolute(result.dataset_cache_dir);
  return result;
}

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return code;
}

// 4: refused configuration, 6: unavailable, 1: anything else.
int ExitCode(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ? 4 : absl::IsUnavailable(status) ? 6 : 1;
}

int Run(const CLI::App& app, const Flags& flags) {
  absl::StatusOr<config::WorkerConfig> config = Configure(app, flags);
  if (!config.ok()) return Fail(config.status(), 4);
  const char* const inherited = std::getenv(agent::kVisibleGpus);
  const absl::StatusOr<std::string> visible_gpu =
      agent::VisibleGpu(config->device, inherited != nullptr ? std::optional<std::string>(inherited) : std::nullopt);
  if (!visible_gpu.ok()) return Fail(visible_gpu.status(), 4);
  absl::StatusOr<process::StopSignal> stop = process::StopSignal::Install();
  if (!stop.ok()) return Fail(stop.status(), 1);
  if (const auto limit = rpc::RaiseDescriptorLimit(); !limit.ok()) return Fail(limit.status(), 1);
  absl::StatusOr<std::unique_ptr<metrics::Exposer>> exposer = metrics::Exposer::Start(config->metrics_listen);
  if (!exposer.ok()) return Fail(exposer.status(), ExitCode(exposer.status()));
  metrics::SetBuildInfo((*exposer)->registry(), "pixelrec-worker", PIXELREC_VERSION);

  agent::Agent::Options options;
  options.config = *config;
  options.visible_gpu = *visible_gpu;
  options.version = PIXELREC_VERSION;
  options.metrics_address = (*exposer)->address();
  options.incarnation = static_cast<uint64_t>(absl::ToUnixMicros(absl::Now()));
  options.registry = &(*exposer)->registry();
  options.stop_signal = &*stop;
  options.log = [id = config->worker_id](absl::string_view text) {
    std::fprintf(stderr, "%s worker %s: %s\n", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()).c_str(),
                 id.c_str(), std::string(text).c_str());
  };
  absl::Status ready_status;
  options.on_ready = [&flags, &ready_status, address = (*exposer)->address()] {
    if (flags.ready_file.empty()) return;
    ready_status =
        storage::WriteFileAtomically(flags.ready_file, absl::StrCat("{\"pid\":", getpid(), ",\"metrics\":\"", address, "\"}\n"));
    if (!ready_status.ok()) Fail(ready_status, 1);
  };
  absl::StatusOr<std::unique_ptr<agent::Agent>> agent = agent::Agent::Create(std::move(options));
  if (!agent.ok()) return Fail(agent.status(), ExitCode(agent.status()));
  const absl::Status result = (*agent)->Run();
  if (!result.ok()) return Fail(result, ExitCode(result));
  return ready_status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace pixelrec

int main(int argc, char** argv) {
  CLI::App app("Runs this machine's part of training jobs: one trainer at a time, as the coordinator says.", "pixelrec-worker");
  pixelrec::Flags flags;
  pixelrec::Declare(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "error: %s (see --help)\n", error.what());
    return 2;
  }
  return pixelrec::Run(app, flags);
}
