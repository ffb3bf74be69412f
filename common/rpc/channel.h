// Channels to a coordinator. Connecting happens with the first call; every call sets its own deadline.
//
// Threads: any.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/status/statusor.h"

namespace pixelrec::rpc {

// Plaintext. Reconnects by itself, waiting at most 1 s between attempts. INVALID_ARGUMENT: not HOST:PORT.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address);

// Deadline of one call, from now.
void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds timeout);

}  // namespace pixelrec::rpc
