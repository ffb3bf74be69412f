// TLS for a server whose certificate may be renewed while it runs: connections that live go on, new ones get the new certificate.
//
// Threads: gRPC's, which ask `source` at every handshake.
#pragma once

#include <memory>

#include <grpcpp/security/server_credentials.h>

#include "common/rpc/tls/tls_source.h"

namespace pixelrec::rpc {

// For one port of one server, which keeps it as long as it may take connections. A client certificate is asked for if the source
// has a CA, and one that is given must be signed by it; none need be given, because a token may say who calls.
std::shared_ptr<grpc::ServerCredentials> ReloadingServerCredentials(std::shared_ptr<TlsSource> source);

}  // namespace pixelrec::rpc
