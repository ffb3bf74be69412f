#include "common/rpc/server.h"

#include <arpa/inet.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/resource_quota.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/keepalive.h"

namespace pixelrec::rpc {

namespace {

constexpr int kMaxStreamsPerConnection = 256;
constexpr size_t kMemoryQuota = 256u << 20;  // bytes in gRPC's own buffers
constexpr int kMaxThreads = 64;
constexpr rlim_t kWantedDescriptors = 65536;

// Of one server; gRPC's own function adds it to every server that the process makes from then on.
class WithReflection final : public grpc::ServerBuilderOption {
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>());
  }
};

// host and port of "host:port" or "[v6]:port".
bool Split(const std::string& address, std::string* host, int* port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(address.substr(colon + 1), port) || *port < 0 ||
      *port > 65535) {
    return false;
  }
  *host = address.substr(0, colon);
  const bool bracketed = host->size() > 2 && host->front() == '[' && host->back() == ']';
  if (bracketed) {
    *host = host->substr(1, host->size() - 2);
  }
  return bracketed || host->find_first_of(":[]") == std::string::npos;
}

}  // namespace

absl::Status CheckAddress(const std::string& address) {
  std::string host;
  int port;
  return Split(address, &host, &port)
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat("'", address, "' is not an address: give HOST:PORT, e.g. 127.0.0.1:7070"));
}

bool IsLoopback(const std::string& address) {
  std::string host;
  int port;
  if (!Split(address, &host, &port)) {
    return false;
  }
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  return host == "localhost" || host == "::1";
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Options options, const std::vector<grpc::Service*>& services) {
  QuietGrpcLog();
  if (absl::Status status = CheckAddress(options.address); !status.ok()) {
    return status;
  }
  if (options.credentials == nullptr && !options.insecure && !IsLoopback(options.address)) {
    return absl::FailedPreconditionError(absl::StrCat("refusing to serve plaintext on ", options.address,
                                                      ", which other machines can reach: set tls_cert and tls_key, or listen on "
                                                      "127.0.0.1, or set `insecure: true` (--insecure) on a "
                                                      "network that you trust"));
  }
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.address,
                           options.credentials != nullptr ? options.credentials : grpc::InsecureServerCredentials(), &port);
  for (grpc::Service* service : services) {
    builder.RegisterService(service);
  }
  builder.SetMaxReceiveMessageSize(kReceiveLimit);
  // SO_REUSEPORT would let a second server take the port in silence.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kServerMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  grpc::ResourceQuota quota("server");
  quota.Resize(kMemoryQuota).SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  if (options.reflection) {
    builder.SetOption(std::make_unique<WithReflection>());
  }
  if (!options.interceptors.empty()) {
    builder.experimental().SetInterceptorCreators(std::move(options.interceptors));
  }
  std::unique_ptr<Server> server(new Server());
  server->credentials_ = options.credentials;
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("can't listen on ", options.address, ": the port is in use, or the address isn't this machine's"));
  }
  server->address_ = absl::StrCat(options.address.substr(0, options.address.rfind(':')), ":", port);
  auto* health = server->server_->GetHealthCheckService();
  health->SetServingStatus(kLiveness, true);
  server->SetReady(false);
  return server;
}

Server::~Server() { Stop(std::chrono::milliseconds(0)); }

void Server::SetReady(bool ready) {
  if (server_ == nullptr) {
    return;
  }
  auto* health = server_->GetHealthCheckService();
  health->SetServingStatus("", ready);
  health->SetServingStatus(kReadiness, ready);
}

void Server::Stop(std::chrono::milliseconds grace) {
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now() + grace);
    server_->Wait();
    server_.reset();
  }
}

absl::StatusOr<int64_t> RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return absl::InternalError(absl::StrCat("getrlimit: ", std::strerror(errno)));
  }
  const rlim_t wanted = limit.rlim_max == RLIM_INFINITY ? kWantedDescriptors : std::min(kWantedDescriptors, limit.rlim_max);
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
      return absl::InternalError(absl::StrCat("setrlimit: ", std::strerror(errno)));
    }
  }
  return static_cast<int64_t>(limit.rlim_cur);
}

}  // namespace pixelrec::rpc
