// The gate for services that are gRPC's own, such as reflection, whose handlers can't ask it: their calls are ended with the
// refusal before they have read anything. What the table leaves to anyone passes.
//
// Threads: any.
#pragma once

#include <memory>

#include <grpcpp/support/server_interceptor.h>

#include "coordinator/service/access/gate.h"

namespace pixelrec::coordinator {

// `gate` outlives the server that the factory is given to.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> GuardForeignCalls(Gate& gate);

}  // namespace pixelrec::coordinator
