#include "coordinator/service/access/foreign_calls.h"

#include <grpc/grpc.h>

#include <string>

#include "absl/strings/match.h"
#include "coordinator/service/access/method_rules.h"

namespace pixelrec::coordinator {

namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

class ForeignCall final : public grpc::experimental::Interceptor {
 public:
  ForeignCall(Gate& gate, ServerRpcInfo& info) : gate_(gate), info_(info) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      grpc::ServerContextBase& context = *info_.server_context();
      Call call{.method = info_.method(), .peer = context.peer()};
      // An interceptor can't keep the handler from running; but one whose call has ended reads nothing and answers to nobody.
      if (const absl::Status status = gate_.Admit(context, call); !status.ok()) {
        grpc_call_cancel_with_status(context.c_call(), static_cast<grpc_status_code>(status.code()),
                                     std::string(status.message()).c_str(), nullptr);
      }
    }
    methods->Proceed();
  }

 private:
  Gate& gate_;
  ServerRpcInfo& info_;  // outlives its interceptors
};

class ForeignCalls final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ForeignCalls(Gate& gate) : gate_(gate) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const MethodRule* rule = FindRule(info->method());
    const bool asks_itself = absl::StartsWith(info->method(), "/pixelrec.");
    return asks_itself || (rule != nullptr && rule->anyone) ? nullptr : new ForeignCall(gate_, *info);
  }

 private:
  Gate& gate_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> GuardForeignCalls(Gate& gate) {
  return std::make_unique<ForeignCalls>(gate);
}

}  // namespace pixelrec::coordinator
