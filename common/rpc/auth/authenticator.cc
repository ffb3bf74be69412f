#include "common/rpc/auth/authenticator.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/reasons.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::rpc {
namespace {

absl::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

absl::Status Unknown(absl::string_view reason, absl::string_view why) {
  return Refuse(absl::StatusCode::kUnauthenticated, reason, why);
}

absl::StatusOr<Principal> OfCertificate(const std::vector<absl::string_view>& uris) {
  std::optional<Principal> found;
  for (absl::string_view uri : uris) {
    absl::StatusOr<std::optional<Principal>> named = PrincipalOfUri(uri);
    if (!named.ok()) return Unknown(kCertificateNamesNobody, named.status().message());
    if (!named->has_value()) continue;
    if (found.has_value()) return Unknown(kCertificateNamesNobody, "the client certificate has more than one pixelrec:// URI");
    found = **named;
  }
  if (found.has_value()) return *found;
  return Unknown(kCredentialsMissing,
                 "this coordinator must know who calls: give a token, or a client certificate with the URI pixelrec://ROLE/NAME");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Authenticator>> Authenticator::Create(Options options) {
  std::unique_ptr<Authenticator> authenticator(new Authenticator(std::move(options)));
  absl::MutexLock lock(&authenticator->mutex_);
  authenticator->read_ = storage::StampOf(authenticator->options_.token_file);
  absl::StatusOr<std::vector<TokenEntry>> tokens = authenticator->Read();
  if (!tokens.ok()) return tokens.status();
  authenticator->tokens_ = *std::move(tokens);
  return authenticator;
}

absl::StatusOr<std::vector<TokenEntry>> Authenticator::Read() const {
  if (options_.token_file.empty()) return std::vector<TokenEntry>();
  const absl::StatusOr<std::string> text = storage::ReadFile(options_.token_file);
  if (!text.ok()) return text.status();
  return ParseTokens(*text, options_.token_file.string());
}

void Authenticator::Refresh() {
  const storage::FileStamp now = storage::StampOf(options_.token_file);
  if (options_.token_file.empty() || read_.Covers(now)) return;
  read_ = now;
  absl::StatusOr<std::vector<TokenEntry>> tokens = Read();
  const std::string complaint = tokens.ok() ? "" : std::string(tokens.status().message());
  if (!complaint.empty() && complaint != complaint_) {
    options_.log(absl::StrCat("the token file can't be used, the tokens before stay good: ", complaint));
  }
  complaint_ = complaint;
  if (tokens.ok()) tokens_ = *std::move(tokens);
}

absl::StatusOr<Principal> Authenticator::OfHash(absl::string_view hash) {
  absl::MutexLock lock(&mutex_);
  Refresh();
  const TokenEntry* entry = FindToken(tokens_, hash);
  if (entry == nullptr) return Unknown(kTokenUnknown, "the token is not known to this coordinator; it may have been revoked");
  if (entry->expires <= options_.now()) {
    return Unknown(kTokenExpired,
                   absl::StrCat("the token of ", entry->principal.name, " expired on ",
                                absl::FormatTime(entry->expires, absl::UTCTimeZone()), ": ask an admin for a new one"));
  }
  return entry->principal;
}

absl::StatusOr<Principal> Authenticator::Identify(const std::vector<absl::string_view>& authorizations,
                                                  const std::vector<absl::string_view>& uris) {
  if (authorizations.empty()) return OfCertificate(uris);
  absl::string_view token = authorizations.front();
  if (authorizations.size() > 1 || !absl::ConsumePrefix(&token, "Bearer ")) {
    return Unknown(kTokenUnknown, "the authorization header is not one 'Bearer TOKEN'");
  }
  return OfHash(HashToken(token));
}

absl::StatusOr<Principal> Authenticator::Identify(const grpc::ServerContextBase& context) {
  std::vector<absl::string_view> authorizations, uris;
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto header = begin; header != end; ++header) authorizations.push_back(View(header->second));
  const std::shared_ptr<const grpc::AuthContext> connection = context.auth_context();
  if (connection != nullptr && connection->IsPeerAuthenticated()) {
    for (grpc::string_ref uri : connection->FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME)) uris.push_back(View(uri));
  }
  return Identify(authorizations, uris);
}

absl::Status Authenticator::StillGood(const Principal& principal) {
  if (principal.token_hash.empty()) return absl::OkStatus();
  const absl::StatusOr<Principal> now = OfHash(principal.token_hash);
  if (now.ok() && (now->role != principal.role || now->name != principal.name)) {
    return Unknown(kTokenUnknown, "the token is another's by now");
  }
  return now.status();
}

}  // namespace pixelrec::rpc
