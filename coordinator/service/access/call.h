// One call as access control and the audit log see it: who, from where, what, about which job.
//
// Threads: plain values.
#pragma once

#include <string>

#include <google/protobuf/descriptor.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/auth/principal.h"

namespace pixelrec::coordinator {

struct Call {
  std::string method;  // "/package.Service/Method"
  std::string peer;    // "ipv4:10.0.0.1:50412"
  rpc::Principal caller;
  // As the caller named it; empty: none, or not said.
  std::string job, worker_id, request_id;
};

// Every RPC has a request message of its own, named after it (a rule of the contract's lint).
template <typename Request>
std::string MethodOf() {
  const google::protobuf::Descriptor& request = *Request::descriptor();
  return absl::StrCat("/", request.file()->service(0)->full_name(), "/", absl::StripSuffix(request.name(), "Request"));
}

// Without `caller`, which the gate finds out.
template <typename Request, typename Context>
Call CallOf(const Context& context, const Request& request) {
  Call call{.method = MethodOf<Request>(), .peer = context.peer()};
  if constexpr (requires { request.job(); }) {
    call.job = request.job();
  }
  if constexpr (requires { request.worker_id(); }) {
    call.worker_id = request.worker_id();
  }
  if constexpr (requires { request.request_id(); }) {
    call.request_id = request.request_id();
  }
  return call;
}

}  // namespace pixelrec::coordinator
