#include "coordinator/service/access/gate.h"

#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "coordinator/service/access/method_rules.h"

namespace pixelrec::coordinator {

absl::Status Gate::Decide(const grpc::ServerContextBase& context, Call& call) {
  const MethodRule* rule = FindRule(call.method);
  if (authenticator_ == nullptr) {
    call.caller = rpc::LocalAdmin();
  } else {
    absl::StatusOr<rpc::Principal> caller = authenticator_->Identify(context);
    if (!caller.ok()) {
      return caller.status();
    }
    call.caller = *std::move(caller);
  }
  if (rule == nullptr || !rule->Allows(call.caller.role)) {
    const absl::string_view name = absl::string_view(call.method).substr(call.method.rfind('/') + 1);
    return rpc::Refuse(absl::StatusCode::kPermissionDenied, rpc::kRoleTooLow,
                       absl::StrCat(call.caller.name, " has the role ", rpc::RoleName(call.caller.role), ", which may not ", name,
                                    ": ", rule == nullptr ? "nobody may" : absl::StrCat("that takes ", RolesOf(*rule))));
  }
  return absl::OkStatus();
}

absl::Status Gate::Admit(const grpc::ServerContextBase& context, Call& call) {
  absl::Status status = Decide(context, call);
  if (!status.ok()) {
    Record(call, status);
  }
  return status;
}

void Gate::Record(const Call& call, const absl::Status& outcome) {
  if (audit_ == nullptr) {
    return;
  }
  const MethodRule* rule = FindRule(call.method);
  const bool refused = absl::IsPermissionDenied(outcome) || absl::IsUnauthenticated(outcome);
  if (refused || (rule != nullptr && rule->changes)) {
    audit_->Write(call, outcome);
  }
}

absl::Status Gate::StillGood(const rpc::Principal& caller) {
  return authenticator_ == nullptr ? absl::OkStatus() : authenticator_->StillGood(caller);
}

}  // namespace pixelrec::coordinator
