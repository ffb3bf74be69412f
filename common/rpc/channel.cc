#include "common/rpc/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/keepalive.h"
#include "common/rpc/server.h"
#include "common/rpc/tls/tls_source.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::rpc {
namespace {

using grpc::experimental::ClientInterceptorFactoryInterface;
using grpc::experimental::ClientRpcInfo;
using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;

// The bearer token of every call. gRPC's own call credentials refuse plaintext, which is allowed on loopback.
class TokenSender final : public Interceptor {
 public:
  explicit TokenSender(std::string header) : header_(std::move(header)) {}
  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", header_);
    }
    methods->Proceed();
  }

 private:
  const std::string header_;  // of the call, which may outlive its channel's factory
};

class TokenSenderFactory final : public ClientInterceptorFactoryInterface {
 public:
  explicit TokenSenderFactory(const std::string& token) : header_(absl::StrCat("Bearer ", token)) {}
  Interceptor* CreateClientInterceptor(ClientRpcInfo*) override { return new TokenSender(header_); }

 private:
  const std::string header_;
};

absl::StatusOr<std::string> ReadToken(const std::filesystem::path& file) {
  if (file.empty()) return std::string();
  absl::StatusOr<std::string> text = storage::ReadFile(file);
  if (!text.ok()) return text.status();
  const std::string token(absl::StripAsciiWhitespace(*text));
  if (token.empty() || token.size() > 1024 ||
      !std::all_of(token.begin(), token.end(), [](char c) { return absl::ascii_isgraph(c); })) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.string(), ": must hold one token, as `pixelrecctl admin token create` prints it, and nothing else"));
  }
  return token;
}

absl::Status CheckSecurity(const std::string& address, const config::ClientSecurity& security) {
  if (absl::Status status = CheckAddress(address); !status.ok()) return status;
  if (security.tls_ca.empty() && (!security.tls_cert.empty() || !security.tls_key.empty())) {
    return absl::InvalidArgumentError(
        "tls_cert and tls_key need tls_ca, the certificate that signs the coordinator's: without it nothing says who is there");
  }
  if (security.tls_ca.empty() && !security.insecure && !IsLoopback(address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("refusing to speak plaintext to ", address,
                     ", over a network: set tls_ca (--tls-ca) to the certificate that signs "
                     "the coordinator's, or `insecure: true` (--insecure) on a network that you trust"));
  }
  return absl::OkStatus();
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Also the least time one attempt to connect gets.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Addresses are reached directly: a proxy from the environment is meant for the web.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Each channel has its own connection, so that a slow stream of one can't hold up another.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(TlsSource* tls) {
  if (tls == nullptr) return grpc::InsecureChannelCredentials();
  TlsMaterial material = tls->Get().material;
  return grpc::SslCredentials({.pem_root_certs = std::move(material.ca),
                               .pem_private_key = std::move(material.key),
                               .pem_cert_chain = std::move(material.cert)});
}

}  // namespace

Dialer::Dialer(Options options) : options_(std::move(options)) {}
Dialer::~Dialer() = default;

absl::StatusOr<std::unique_ptr<Dialer>> Dialer::Create(Options options) {
  QuietGrpcLog();
  std::unique_ptr<Dialer> dialer(new Dialer(std::move(options)));
  const config::ClientSecurity& security = dialer->options_.security;
  if (absl::Status status = CheckSecurity(dialer->options_.address, security); !status.ok()) return status;
  if (!security.tls_ca.empty()) {
    auto tls = TlsSource::Create(
        {.files = {security.tls_cert, security.tls_key, security.tls_ca}, .log = dialer->options_.log, .now = absl::Now});
    if (!tls.ok()) return tls.status();
    dialer->tls_ = *std::move(tls);
  }
  absl::StatusOr<std::string> token = ReadToken(security.token_file);
  if (!token.ok()) return token.status();
  dialer->token_ = *std::move(token);
  return dialer;
}

std::shared_ptr<grpc::Channel> Dialer::Dial() {
  if (absl::StatusOr<std::string> token = ReadToken(options_.security.token_file); token.ok()) {
    token_ = *std::move(token);
  } else {
    options_.log(absl::StrCat("the token before stays in use: ", token.status().message()));
  }
  std::vector<std::unique_ptr<ClientInterceptorFactoryInterface>> interceptors;
  if (!token_.empty()) interceptors.push_back(std::make_unique<TokenSenderFactory>(token_));
  return grpc::experimental::CreateCustomChannelWithInterceptors(options_.address, Credentials(tls_.get()), Arguments(),
                                                                 std::move(interceptors));
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address, const config::ClientSecurity& security) {
  auto dialer = Dialer::Create({.address = address, .security = security});
  if (!dialer.ok()) return dialer.status();
  return (*dialer)->Dial();
}

void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds timeout) {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

}  // namespace pixelrec::rpc
