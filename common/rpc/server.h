// A gRPC server with this project's limits: receive limit, keepalive, bounded streams and memory, the health service.
//
// Threads: any.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/support/server_interceptor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pixelrec::rpc {

// Names for grpc.health.v1.Health/Check. Liveness never depends on anything but this process; "" answers as readiness does.
inline constexpr char kLiveness[] = "liveness";
inline constexpr char kReadiness[] = "readiness";

inline constexpr int kReceiveLimit = 1 << 20;  // bytes, on control calls

class Server {
 public:
  struct Options {
    std::string address = "127.0.0.1:0";
    bool insecure = false;                                      // plaintext on an address that isn't loopback
    bool reflection = false;                                    // tells callers the services and their messages
    std::shared_ptr<grpc::ServerCredentials> credentials = {};  // null: plaintext. Owners: the server, whoever made them
    // Called for every RPC; owned by the server.
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  };

  // `services` outlive the server; none: only the health service answers. UNAVAILABLE: the port is in use or the address can't be
  // bound. FAILED_PRECONDITION: a plaintext address that isn't loopback, without `insecure`. INVALID_ARGUMENT: not HOST:PORT.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Options options, const std::vector<grpc::Service*>& services);
  ~Server();

  // host:port really bound.
  const std::string& address() const { return address_; }
  void SetReady(bool ready);
  // Refuses new calls, gives those under way `grace`, then cancels them. Idempotent.
  void Stop(std::chrono::milliseconds grace);

 private:
  Server() = default;
  std::string address_;
  // Asked at every handshake, so longer there than the port.
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<grpc::Server> server_;
};

// INVALID_ARGUMENT: not HOST:PORT with a port of 0-65535.
absl::Status CheckAddress(const std::string& address);
bool IsLoopback(const std::string& address);

// Every connection, file and pipe takes a descriptor; gRPC 1.51 goes deaf when accept runs out of them (CVE-2023-4785). Raises
// the soft limit to at most 65,536 or the hard limit. Returns the limit in force.
absl::StatusOr<int64_t> RaiseDescriptorLimit();

}  // namespace pixelrec::rpc
