// Which coordinator a command means.
#pragma once

#include <string>

namespace pixelrec::ctl {

struct ServerAddress {
  std::string server;       // host:port
  bool supervised = false;  // a local cluster's: back soon if it dies
};

// `flag` (--server), else PIXELREC_SERVER, else the running local cluster, else 127.0.0.1:7070.
ServerAddress FindServer(const std::string& flag);

// Whether `server` is on this machine, so that its paths are ours.
bool SharesOurFiles(const std::string& server);

}  // namespace pixelrec::ctl
