// pixelrec_grpc_server_handled_total and _handling_seconds for every RPC of a server.
//
// Threads: any.
#pragma once

#include <memory>

#include <grpcpp/support/server_interceptor.h>
#include <prometheus/registry.h>

namespace pixelrec::coordinator {

// `registry` outlives the server that the factory is given to.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeRpcMetrics(prometheus::Registry& registry);

}  // namespace pixelrec::coordinator
