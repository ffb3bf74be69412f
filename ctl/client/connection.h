// Which coordinator a command means, and how to reach it.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "common/config/security.h"

namespace pixelrec::ctl {

struct Connection {
  std::string server;       // host:port
  bool supervised = false;  // a local cluster's: back soon if it dies
  config::ClientSecurity security;
};

// Each setting by itself: `flags`, else the environment (PIXELREC_SERVER, PIXELREC_TLS_CA, PIXELREC_TLS_CERT, PIXELREC_TLS_KEY,
// PIXELREC_TOKEN_FILE, PIXELREC_INSECURE=1), else ClientConfigFile(), whose certificates and token are for the server that it
// names. Where nothing names a server: the running local cluster, else 127.0.0.1:7070. INVALID_ARGUMENT: the file can't be used.
absl::StatusOr<Connection> ResolveConnection(const Connection& flags);

// $XDG_CONFIG_HOME/pixelrec/config.yaml, else ~/.config/pixelrec/config.yaml. It may be absent.
std::filesystem::path ClientConfigFile();

// Whether `server` is on this machine, so that its paths are ours.
bool SharesOurFiles(const std::string& server);

}  // namespace pixelrec::ctl
