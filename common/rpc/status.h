// absl::Status <-> grpc::Status. The reason (reasons.h) travels as a google.rpc.ErrorInfo inside a google.rpc.Status in the
// "grpc-status-details-bin" trailer, where clients in any language look for it.
//
// Threads: pure functions.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace pixelrec::rpc {

grpc::Status ToGrpc(const absl::Status& status);

// Keeps code and message, and the reason for ReasonOf() if it is of domain "pixelrec".
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace pixelrec::rpc
