// The registry of google.rpc.ErrorInfo reasons (domain "pixelrec"): what a program may branch on, where a status code is too
// coarse. Add a reason here, in alphabetical order; never rename one.
//
// Threads: pure functions. Header only, so that code without gRPC (coordinator/state) can name a reason.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace pixelrec::rpc {

inline constexpr char kErrorDomain[] = "pixelrec";

inline constexpr char kBadPageToken[] = "BAD_PAGE_TOKEN";
inline constexpr char kBadRequest[] = "BAD_REQUEST";
inline constexpr char kCertificateNamesNobody[] = "CERTIFICATE_NAMES_NOBODY";
inline constexpr char kCoordinatorStopping[] = "COORDINATOR_STOPPING";
inline constexpr char kCredentialsMissing[] = "CREDENTIALS_MISSING";
inline constexpr char kJobAmbiguous[] = "JOB_AMBIGUOUS";
inline constexpr char kJobCancelling[] = "JOB_CANCELLING";
inline constexpr char kJobEnded[] = "JOB_ENDED";
inline constexpr char kJobNotEnded[] = "JOB_NOT_ENDED";
inline constexpr char kJobNotFound[] = "JOB_NOT_FOUND";
inline constexpr char kJobNotPaused[] = "JOB_NOT_PAUSED";
inline constexpr char kJobOfAnother[] = "JOB_OF_ANOTHER";
inline constexpr char kJournalUnwritable[] = "JOURNAL_UNWRITABLE";
inline constexpr char kLogNotFound[] = "LOG_NOT_FOUND";
inline constexpr char kOutputDirInUse[] = "OUTPUT_DIR_IN_USE";
inline constexpr char kOutputDirOfAnother[] = "OUTPUT_DIR_OF_ANOTHER";
inline constexpr char kReaderTooSlow[] = "READER_TOO_SLOW";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kRoleTooLow[] = "ROLE_TOO_LOW";
inline constexpr char kSessionReplaced[] = "SESSION_REPLACED";
inline constexpr char kSpecInvalid[] = "SPEC_INVALID";
inline constexpr char kStaleIncarnation[] = "STALE_INCARNATION";
inline constexpr char kTokenExpired[] = "TOKEN_EXPIRED";
inline constexpr char kTokenUnknown[] = "TOKEN_UNKNOWN";
inline constexpr char kWorkerIdOfAnother[] = "WORKER_ID_OF_ANOTHER";
inline constexpr char kWorkerNotFound[] = "WORKER_NOT_FOUND";
inline constexpr char kWorkerSilent[] = "WORKER_SILENT";
inline constexpr char kWorkerUnavailable[] = "WORKER_UNAVAILABLE";

// Key of the Status payload that carries the reason until common/rpc/status.h packs it into an ErrorInfo.
inline constexpr char kReasonPayload[] = "type.googleapis.com/google.rpc.ErrorInfo#reason";

// A status with a reason. `code` isn't kOk.
inline absl::Status Refuse(absl::StatusCode code, absl::string_view reason, absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kReasonPayload, absl::Cord(reason));
  return status;
}

// Empty if `status` carries none.
inline std::string ReasonOf(const absl::Status& status) {
  auto payload = status.GetPayload(kReasonPayload);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace pixelrec::rpc
