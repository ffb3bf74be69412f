#include "common/rpc/status.h"

#include <string>

#include "common/rpc/google_rpc.pb.h"
#include "common/rpc/reasons.h"

namespace pixelrec::rpc {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  const std::string message(status.message());
  std::string details;
  if (std::string reason = ReasonOf(status); !reason.empty()) {
    google::rpc::ErrorInfo info;
    info.set_reason(reason);
    info.set_domain(kErrorDomain);
    google::rpc::Status wire;
    wire.set_code(static_cast<int32_t>(status.code()));
    wire.set_message(message);
    wire.add_details()->PackFrom(info);
    details = wire.SerializeAsString();
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message, details);
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status wire;
  if (!wire.ParseFromString(status.error_details())) {
    return result;
  }
  for (const google::protobuf::Any& detail : wire.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info) && info.domain() == kErrorDomain) {
      result.SetPayload(kReasonPayload, absl::Cord(info.reason()));
    }
  }
  return result;
}

}  // namespace pixelrec::rpc
