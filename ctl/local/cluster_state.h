// A local cluster's folder: what its supervisor writes down (local.json), and the lock that says whether the supervisor lives.
//
// The lock, not a stored process id, decides: the kernel drops it with the supervisor, and ids are reused.
// Threads: any.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::ctl {

struct ClusterProcess {
  std::string name;     // "coordinator", "local-0"
  pid_t pid = 0;        // 0: being restarted
  std::string metrics;  // host:port of /metrics
  int restarts = 0;
};

struct ClusterState {
  std::string server;  // the coordinator's host:port
  pid_t supervisor = 0;
  bool ready = false;  // everything has started once
  bool warm_spare = false;
  ClusterProcess coordinator;
  std::vector<ClusterProcess> workers;
};

// PIXELREC_LOCAL_DIR, else $XDG_STATE_HOME/pixelrec/local, else ~/.local/state/pixelrec/local.
std::filesystem::path DefaultClusterDir();
// PIXELREC_CACHE, else ~/.cache/pixelrec; datasets/ in it outlives clusters.
std::filesystem::path DefaultCacheDir();

absl::Status WriteClusterState(const std::filesystem::path& dir, const ClusterState& state);

// NOT_FOUND: no supervisor holds the lock of `dir`, whatever its local.json says. UNAVAILABLE: one does and has written nothing
// yet.
absl::StatusOr<ClusterState> RunningCluster(const std::filesystem::path& dir);

// Process that holds the lock of `dir`; nullopt: none.
std::optional<pid_t> SupervisorOf(const std::filesystem::path& dir);

// For the life of the returned descriptor. ALREADY_EXISTS: another process has it.
absl::StatusOr<storage::UniqueFd> LockCluster(const std::filesystem::path& dir);

// JSON with the keys of the structs, for `local status -o json`.
std::string ClusterJson(const ClusterState& state);

}  // namespace pixelrec::ctl
