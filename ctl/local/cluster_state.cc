#include "ctl/local/cluster_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "nlohmann/json.hpp"

namespace pixelrec::ctl {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

fs::path FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? fs::path() : fs::path(value);
}

// Without a home, a folder of this user's own.
fs::path Home() {
  const fs::path home = FromEnvironment("HOME");
  return home.empty() ? fs::temp_directory_path() / absl::StrCat("pixelrec-", getuid()) : home;
}

Json ToJson(const ClusterProcess& process) {
  return {{"name", process.name}, {"pid", process.pid}, {"metrics", process.metrics}, {"restarts", process.restarts}};
}

ClusterProcess ProcessFrom(const Json& json) {
  return {json.at("name"), json.at("pid"), json.at("metrics"), json.at("restarts")};
}

}  // namespace

fs::path DefaultClusterDir() {
  if (const fs::path dir = FromEnvironment("PIXELREC_LOCAL_DIR"); !dir.empty()) return fs::absolute(dir);
  if (const fs::path state = FromEnvironment("XDG_STATE_HOME"); !state.empty()) return state / "pixelrec" / "local";
  return Home() / ".local" / "state" / "pixelrec" / "local";
}

fs::path DefaultCacheDir() {
  if (const fs::path dir = FromEnvironment("PIXELREC_CACHE"); !dir.empty()) return fs::absolute(dir);
  return Home() / ".cache" / "pixelrec";
}

std::string ClusterJson(const ClusterState& state) {
  Json json = {{"server", state.server},
               {"supervisor_pid", state.supervisor},
               {"ready", state.ready},
               {"warm_spare", state.warm_spare},
               {"coordinator", ToJson(state.coordinator)}};
  json["workers"] = Json::array();
  for (const ClusterProcess& worker : state.workers) json["workers"].push_back(ToJson(worker));
  return json.dump(2) + "\n";
}

absl::Status WriteClusterState(const fs::path& dir, const ClusterState& state) {
  return storage::WriteFileAtomically(dir / "local.json", ClusterJson(state));
}

std::optional<pid_t> SupervisorOf(const fs::path& dir) {
  const storage::UniqueFd fd(open((dir / "lock").c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(fd.get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return lock.l_pid;
}

absl::StatusOr<storage::UniqueFd> LockCluster(const fs::path& dir) {
  storage::UniqueFd fd(open((dir / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return storage::ErrnoStatus(errno, "can't open", dir / "lock");
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(fd.get(), F_SETLK, &lock) == 0) return fd;
  if (errno == EACCES || errno == EAGAIN) {
    return absl::AlreadyExistsError(absl::StrCat("a local cluster is already running in ", dir.string()));
  }
  return storage::ErrnoStatus(errno, "can't lock", dir / "lock");
}

absl::StatusOr<ClusterState> RunningCluster(const fs::path& dir) {
  const std::optional<pid_t> supervisor = SupervisorOf(dir);
  if (!supervisor) return absl::NotFoundError(absl::StrCat("no local cluster is running in ", dir.string()));
  const absl::StatusOr<std::string> text = storage::ReadFile(dir / "local.json");
  const absl::Status starting = absl::UnavailableError(absl::StrCat("the local cluster in ", dir.string(), " is still starting"));
  if (!text.ok()) return starting;
  try {
    const Json json = Json::parse(*text);
    ClusterState state;
    state.server = json.at("server");
    state.supervisor = json.at("supervisor_pid");
    state.ready = json.at("ready");
    state.warm_spare = json.at("warm_spare");
    state.coordinator = ProcessFrom(json.at("coordinator"));
    for (const Json& worker : json.at("workers")) state.workers.push_back(ProcessFrom(worker));
    // A file of an earlier supervisor says nothing about this one.
    if (state.supervisor != *supervisor) return starting;
    return state;
  } catch (const Json::exception&) {
    return starting;
  }
}

}  // namespace pixelrec::ctl
