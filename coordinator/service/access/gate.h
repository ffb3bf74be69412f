// The one place where a call is let in: who calls, and whether the table lets that role call that method. Every handler asks here
// first, and hands what comes of its call back for the audit log.
//
// Threads: any; never blocks but for a write to the audit log.
#pragma once

#include <grpcpp/server_context.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/rpc/auth/authenticator.h"
#include "coordinator/service/access/audit_log.h"
#include "coordinator/service/access/call.h"

namespace pixelrec::coordinator {

class Gate {
 public:
  // Both outlive the gate. No authenticator: everybody is the admin "local". No audit log: nothing is written.
  explicit Gate(rpc::Authenticator* authenticator = nullptr, AuditLog* audit = nullptr)
      : authenticator_(authenticator), audit_(audit) {}

  // Fills call.caller. UNAUTHENTICATED: not known who calls. PERMISSION_DENIED: known, and may not. A refusal has been recorded.
  absl::Status Admit(const grpc::ServerContextBase& context, Call& call);
  // What became of an admitted call, for those that change something and for refusals.
  void Record(const Call& call, const absl::Status& outcome);
  // Of a stream that goes on: its caller's token is still good.
  absl::Status StillGood(const rpc::Principal& caller);

 private:
  absl::Status Decide(const grpc::ServerContextBase& context, Call& call);

  rpc::Authenticator* const authenticator_;
  AuditLog* const audit_;
};

}  // namespace pixelrec::coordinator
