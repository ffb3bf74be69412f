// coordinator.yaml, worker.yaml and pixelrecctl's config.yaml. Flags of the programs override the file; every default lives here.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/config/security.h"

namespace pixelrec::config {

struct CoordinatorConfig {
  std::string listen = "127.0.0.1:7070";          // gRPC; port 0: any free one
  std::string metrics_listen = "127.0.0.1:9464";  // plaintext HTTP /metrics
  std::string health_listen;                      // plaintext gRPC with the health service alone; empty: none
  std::filesystem::path state_dir = "/var/lib/pixelrec/coordinator";
  // Spec paths must lie under one of these; empty: anywhere (loopback only).
  std::vector<std::filesystem::path> roots;
  int compact_after = 20000;  // records in the journal, before it is written anew without what is outdated
  // Jobs that have ended are remembered, with their histories, up to so many and for so long. 0: all; for ever.
  int keep_ended_jobs = 100000;
  std::chrono::seconds keep_ended_for{0};
  ServerSecurity security;
  bool reflection = false;  // tells callers the services and their messages
  std::chrono::milliseconds lease{2000};
  std::chrono::milliseconds beat_interval{500};
  std::chrono::milliseconds start_timeout{120000};  // STARTING -> RUNNING
  std::chrono::seconds orphan_grace{600};
  std::chrono::seconds stop_grace{30};  // StopTraining -> SIGKILL
  // A section of a rank hangs when it lasts longer than this, and than ten times its median.
  std::chrono::milliseconds hang_floor{5000};
  // A generation of an elastic job trains at least for so long before it stops to grow.
  std::chrono::milliseconds elastic_grow_after{30000};
};

struct WorkerConfig {
  std::string coordinator = "127.0.0.1:7070";
  std::string worker_id;  // default: <hostname>-<device>
  std::string advertise_address = "127.0.0.1";
  std::string metrics_listen = "127.0.0.1:9465";
  std::filesystem::path work_dir = "/var/lib/pixelrec/worker";  // logs of the ranks
  std::filesystem::path dataset_cache_dir = "/var/cache/pixelrec/datasets";
  std::filesystem::path trainer;  // default: pixelrec-trainer beside this program
  std::string device = "cpu";     // "cpu" or "cuda:N"
  int threads = 0;                // compute threads of a trainer; 0: all of the host
  bool warm_spare = false;        // keeps a trainer ready for the next rank
  std::vector<std::filesystem::path> roots;
  ClientSecurity security;
};

// ~/.config/pixelrec/config.yaml
struct ClientConfig {
  std::string server;  // empty: not named
  ClientSecurity security;
};

// NOT_FOUND: no file. INVALID_ARGUMENT: "FILE:LINE:COLUMN: ..." as for job.yaml.
absl::StatusOr<CoordinatorConfig> LoadCoordinatorConfig(const std::filesystem::path& file);
absl::StatusOr<WorkerConfig> LoadWorkerConfig(const std::filesystem::path& file);
absl::StatusOr<ClientConfig> LoadClientConfig(const std::filesystem::path& file);

}  // namespace pixelrec::config
