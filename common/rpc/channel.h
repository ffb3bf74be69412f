// Channels to a coordinator. Connecting happens with the first call; every call sets its own deadline.
//
// Threads: any.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/config/security.h"

namespace pixelrec::rpc {

class TlsSource;

// Opens channels to one address, each with the certificate and the token that its files hold by then.
class Dialer {
 public:
  struct Options {
    std::string address;
    config::ClientSecurity security;
    // What is said of a renewed file that can't be used; the one before stays in use.
    std::function<void(absl::string_view)> log = [](absl::string_view) {};
  };
  // INVALID_ARGUMENT: not HOST:PORT, or a file that is no certificate, key or token, or not valid any more. FAILED_PRECONDITION:
  // plaintext to an address that isn't loopback, without `insecure`. NOT_FOUND, PERMISSION_DENIED: a file can't be read.
  static absl::StatusOr<std::unique_ptr<Dialer>> Create(Options options);
  ~Dialer();

  // A channel with connections of its own. Reconnects by itself, waiting at most 1 s between attempts.
  std::shared_ptr<grpc::Channel> Dial();

 private:
  explicit Dialer(Options options);

  const Options options_;
  std::unique_ptr<TlsSource> tls_;  // null: plaintext
  std::string token_;               // empty: none
};

// One channel. Errors as Dialer::Create().
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address,
                                                           const config::ClientSecurity& security = {});

// Deadline of one call, from now.
void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds timeout);

}  // namespace pixelrec::rpc
