// Who calls, and as what. Common words of the coordinator, its token file and pixelrecctl.
//
// Threads: plain values and pure functions.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::rpc {

enum class Role {
  kViewer,     // reads
  kSubmitter,  // and submits, and changes its own jobs
  kAdmin,      // everything
  kWorker,     // holds a worker's session, and nothing else
};

absl::string_view RoleName(Role role);
// "admin", "submitter", "viewer", "worker".
std::optional<Role> ParseRole(absl::string_view name);

struct Principal {
  // Of a worker: the id that it registers under; with '*' at its end, the beginning of it.
  std::string name;
  Role role = Role::kViewer;
  // Hash of the token that says so, to ask for again while a stream lives; empty: a certificate, or nothing, says so.
  std::string token_hash = {};

  bool MayRegisterAs(absl::string_view worker_id) const;
};

// Everybody, where nothing is set up that tells one from another.
Principal LocalAdmin();
inline constexpr char kLocalName[] = "local";

// INVALID_ARGUMENT: not 1-63 characters of letters, digits and ._:@-, or "local". Of a worker, also with '*' at its end, or
// alone.
absl::Status CheckPrincipal(const Principal& principal);

// Of "pixelrec://ROLE/NAME", the URI in a certificate's subjectAltName. Nothing: not of that scheme. INVALID_ARGUMENT: of that
// scheme, but no such role or name.
absl::StatusOr<std::optional<Principal>> PrincipalOfUri(absl::string_view uri);

}  // namespace pixelrec::rpc
