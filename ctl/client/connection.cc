#include "ctl/client/server_address.h"

#include <cstdlib>

#include "common/rpc/server.h"
#include "ctl/local/cluster_state.h"

namespace pixelrec::ctl {

ServerAddress FindServer(const std::string& flag) {
  const char* const environment = std::getenv("PIXELREC_SERVER");
  const absl::StatusOr<ClusterState> local = RunningCluster(DefaultClusterDir());
  ServerAddress found;
  if (!flag.empty()) {
    found.server = flag;
  } else if (environment != nullptr && *environment != '\0') {
    found.server = environment;
  } else if (local.ok()) {
    found.server = local->server;
  } else {
    found.server = "127.0.0.1:7070";
  }
  found.supervised = local.ok() && local->server == found.server;
  return found;
}

bool SharesOurFiles(const std::string& server) { return rpc::IsLoopback(server); }

}  // namespace pixelrec::ctl
