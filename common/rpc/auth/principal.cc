#include "common/rpc/auth/principal.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pixelrec::rpc {
namespace {

constexpr std::pair<Role, absl::string_view> kRoles[] = {
    {Role::kAdmin, "admin"}, {Role::kSubmitter, "submitter"}, {Role::kViewer, "viewer"}, {Role::kWorker, "worker"}};
constexpr size_t kMaxName = 63;
constexpr absl::string_view kScheme = "pixelrec://";

bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || absl::StrContains("._:@-", absl::string_view(&c, 1)); }

}  // namespace

absl::string_view RoleName(Role role) {
  for (const auto& [known, name] : kRoles) {
    if (known == role) return name;
  }
  return "none";
}

std::optional<Role> ParseRole(absl::string_view name) {
  for (const auto& [role, known] : kRoles) {
    if (known == name) return role;
  }
  return std::nullopt;
}

bool Principal::MayRegisterAs(absl::string_view worker_id) const {
  if (role == Role::kAdmin) return true;
  if (role != Role::kWorker) return false;
  absl::string_view wanted = name;
  return absl::ConsumeSuffix(&wanted, "*") ? absl::StartsWith(worker_id, wanted) : worker_id == wanted;
}

Principal LocalAdmin() { return {.name = kLocalName, .role = Role::kAdmin}; }

absl::Status CheckPrincipal(const Principal& principal) {
  absl::string_view name = principal.name;
  const bool prefix = principal.role == Role::kWorker && absl::ConsumeSuffix(&name, "*");
  if (principal.name.size() > kMaxName || (name.empty() && !prefix) || !std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return absl::InvalidArgumentError(absl::StrCat("'", principal.name, "' is not a name: it must be 1-", kMaxName,
                                                   " characters of A-Z, a-z, 0-9 and ._:@-",
                                                   principal.role == Role::kWorker ? ", and may end with *" : ""));
  }
  if (principal.name == kLocalName) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", kLocalName, "' is the name of everybody on a coordinator without authentication: choose another"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Principal>> PrincipalOfUri(absl::string_view uri) {
  if (!absl::ConsumePrefix(&uri, kScheme)) return std::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(uri, '/');
  const std::optional<Role> role = ParseRole(parts.front());
  if (parts.size() != 2 || !role.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("the certificate's URI ", kScheme, uri, " is not ", kScheme,
                                                   "ROLE/NAME with a role of admin, submitter, viewer, worker"));
  }
  Principal principal{.name = std::string(parts.back()), .role = *role};
  if (absl::Status status = CheckPrincipal(principal); !status.ok()) return status;
  return principal;
}

}  // namespace pixelrec::rpc
