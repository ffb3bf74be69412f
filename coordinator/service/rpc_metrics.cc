#include "coordinator/service/rpc_metrics.h"

#include <chrono>
#include <string>

#include "absl/strings/string_view.h"
#include "common/metrics/catalogue.h"
#include "common/metrics/family.h"

namespace pixelrec::coordinator {

namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;
using Clock = std::chrono::steady_clock;

struct RpcFamilies {
  explicit RpcFamilies(prometheus::Registry& registry)
      : handled(registry, metrics::kGrpcServerHandledTotal), handling(registry, metrics::kGrpcServerHandlingSeconds) {}
  metrics::Family<prometheus::Counter, 2> handled;
  metrics::Family<prometheus::Histogram, 1> handling;
};

absl::string_view CodeName(grpc::StatusCode code) {
  static constexpr absl::string_view kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

// "/pixelrec.v1.JobService/SubmitJob" -> "JobService/SubmitJob".
std::string MethodName(absl::string_view path) {
  path.remove_prefix(std::min(path.find('/') + 1, path.size()));
  const size_t dot = path.substr(0, path.find('/')).rfind('.');
  return std::string(dot == absl::string_view::npos ? path : path.substr(dot + 1));
}

// Lives as long as its RPC.
class RpcMetrics final : public grpc::experimental::Interceptor {
 public:
  RpcMetrics(RpcFamilies& families, ServerRpcInfo* info)
      : families_(families),
        method_(MethodName(info->method())),
        unary_(info->type() == ServerRpcInfo::Type::UNARY),
        begin_(Clock::now()) {}

  ~RpcMetrics() override {
    families_.handled.With({method_, std::string(CodeName(code_))}).Increment();
    if (unary_) {
      families_.handling.With({method_}).Observe(std::chrono::duration<double>(Clock::now() - begin_).count());
    }
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      code_ = methods->GetSendStatus().error_code();
    }
    methods->Proceed();
  }

 private:
  RpcFamilies& families_;
  const std::string method_;
  const bool unary_;
  const Clock::time_point begin_;
  grpc::StatusCode code_ = grpc::StatusCode::CANCELLED;  // unless a status is sent
};

class RpcMetricsFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit RpcMetricsFactory(prometheus::Registry& registry) : families_(registry) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    return new RpcMetrics(families_, info);
  }

 private:
  RpcFamilies families_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeRpcMetrics(prometheus::Registry& registry) {
  return std::make_unique<RpcMetricsFactory>(registry);
}

}  // namespace pixelrec::coordinator
