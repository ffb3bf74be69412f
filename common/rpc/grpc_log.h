// gRPC's own log on stderr.
#pragma once

namespace pixelrec::rpc {

// gRPC writes pages about what its caller is told by a Status anyway. Silent from here on, unless GRPC_VERBOSITY asks for it.
// Threads: any.
void QuietGrpcLog();

}  // namespace pixelrec::rpc
