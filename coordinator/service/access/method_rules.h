// Which role may call which method. A method that isn't in the table is refused, and a test walks the services' descriptors, so
// that a new one can't be forgotten.
//
// Threads: a constant table.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/rpc/auth/principal.h"

namespace pixelrec::coordinator {

// A set of roles, a bit for each.
using Roles = uint8_t;
constexpr Roles Only(rpc::Role role) { return static_cast<Roles>(1u << static_cast<unsigned>(role)); }

struct MethodRule {
  absl::string_view method;  // "/package.Service/Method"
  Roles roles = 0;
  bool anyone = false;   // also who isn't known
  bool changes = false;  // something: each call has its line in the audit log

  bool Allows(rpc::Role role) const { return (roles & Only(role)) != 0; }
};

absl::Span<const MethodRule> MethodRules();
// Null: no such method, so nobody may.
const MethodRule* FindRule(absl::string_view method);

// "admin or submitter", for messages.
std::string RolesOf(const MethodRule& rule);
// The table of docs/security.md.
std::string MethodRulesMarkdown();

}  // namespace pixelrec::coordinator
