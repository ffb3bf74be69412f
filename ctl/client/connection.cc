#include "ctl/client/connection.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/config/daemon_config.h"
#include "common/rpc/server.h"
#include "ctl/local/cluster_state.h"

namespace pixelrec::ctl {
namespace {

namespace fs = std::filesystem;

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<Connection> OfEnvironment() {
  Connection found;
  found.server = Variable("PIXELREC_SERVER");
  found.security.tls_ca = Variable("PIXELREC_TLS_CA");
  found.security.tls_cert = Variable("PIXELREC_TLS_CERT");
  found.security.tls_key = Variable("PIXELREC_TLS_KEY");
  found.security.token_file = Variable("PIXELREC_TOKEN_FILE");
  const std::string insecure = Variable("PIXELREC_INSECURE");
  if (!insecure.empty() && insecure != "0" && insecure != "1") {
    return absl::InvalidArgumentError(absl::StrCat("PIXELREC_INSECURE must be 0 or 1 (got ", insecure, ")"));
  }
  found.security.insecure = insecure == "1";
  return found;
}

// Of one more important than `found`.
void Prefer(const Connection& other, Connection& found) {
  if (!other.server.empty()) found.server = other.server;
  Override(found.security, other.security);
}

}  // namespace

fs::path ClientConfigFile() {
  if (const std::string folder = Variable("XDG_CONFIG_HOME"); !folder.empty()) {
    return fs::path(folder) / "pixelrec" / "config.yaml";
  }
  return fs::path(Variable("HOME")) / ".config" / "pixelrec" / "config.yaml";
}

absl::StatusOr<Connection> ResolveConnection(const Connection& flags) {
  absl::StatusOr<Connection> asked = OfEnvironment();
  if (!asked.ok()) return asked.status();
  Prefer(flags, *asked);
  config::ClientConfig file;
  absl::StatusOr<config::ClientConfig> loaded = config::LoadClientConfig(ClientConfigFile());
  if (!loaded.ok() && !absl::IsNotFound(loaded.status())) return absl::InvalidArgumentError(loaded.status().message());
  if (loaded.ok()) file = *std::move(loaded);

  const absl::StatusOr<ClusterState> local = RunningCluster(DefaultClusterDir());
  Connection found;
  const bool named = !asked->server.empty() || !file.server.empty();
  found.server = !named ? (local.ok() ? local->server : "127.0.0.1:7070") : !asked->server.empty() ? asked->server : file.server;
  // Its token is no other coordinator's business.
  if (named && (file.server.empty() || file.server == found.server)) found.security = file.security;
  Override(found.security, asked->security);
  found.supervised = local.ok() && local->server == found.server;
  return found;
}

bool SharesOurFiles(const std::string& server) { return rpc::IsLoopback(server); }

}  // namespace pixelrec::ctl
