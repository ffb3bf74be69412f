#include "common/rpc/auth/token_file.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pixelrec::rpc {
namespace {

constexpr size_t kTokenBytes = 32;
constexpr size_t kHashDigits = 2 * SHA256_DIGEST_LENGTH;

absl::StatusOr<TokenEntry> ParseLine(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.size() < 3 || words.size() > 4) {
    return absl::InvalidArgumentError("must be ROLE NAME SHA256 [EXPIRES], as `pixelrecctl admin token create` writes it");
  }
  const std::optional<Role> role = ParseRole(words[0]);
  if (!role.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no such role: ", words[0], "; there are admin, submitter, viewer and worker"));
  }
  TokenEntry entry{.principal = {.name = std::string(words[1]), .role = *role, .token_hash = absl::AsciiStrToLower(words[2])}};
  if (absl::Status status = CheckPrincipal(entry.principal); !status.ok()) return status;
  const std::string& hash = entry.principal.token_hash;
  if (hash.size() != kHashDigits || !std::all_of(hash.begin(), hash.end(), [](char c) { return absl::ascii_isxdigit(c); })) {
    return absl::InvalidArgumentError("the third word must be a SHA-256, 64 hexadecimal digits; it is not the token itself");
  }
  std::string error;
  if (words.size() == 4 && !absl::ParseTime(absl::RFC3339_full, words[3], &entry.expires, &error)) {
    return absl::InvalidArgumentError(absl::StrCat("'", words[3], "' is not a time like 2027-01-31T00:00:00Z"));
  }
  return entry;
}

}  // namespace

absl::StatusOr<std::string> NewToken() {
  unsigned char bytes[kTokenBytes];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) return absl::InternalError("the system gives no random numbers");
  return absl::StrCat("pxr_", absl::WebSafeBase64Escape(absl::string_view(reinterpret_cast<char*>(bytes), sizeof(bytes))));
}

std::string HashToken(absl::string_view token) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), sizeof(digest)));
}

std::string TokenLine(const TokenEntry& entry) {
  std::string line = absl::StrCat(RoleName(entry.principal.role), " ", entry.principal.name, " ", entry.principal.token_hash);
  if (entry.expires != absl::InfiniteFuture()) {
    absl::StrAppend(&line, " ", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", entry.expires, absl::UTCTimeZone()));
  }
  return line;
}

absl::StatusOr<std::vector<TokenEntry>> ParseTokens(absl::string_view text, absl::string_view name) {
  std::vector<TokenEntry> entries;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    absl::StatusOr<TokenEntry> entry = ParseLine(line);
    if (!entry.ok()) return absl::InvalidArgumentError(absl::StrCat(name, ":", number, ": ", entry.status().message()));
    entries.push_back(*std::move(entry));
  }
  return entries;
}

std::string WithoutTokensOf(absl::string_view text, absl::string_view name, int* removed) {
  std::string kept;
  *removed = 0;
  for (absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    const absl::StatusOr<TokenEntry> entry = ParseLine(absl::StripAsciiWhitespace(line.substr(0, line.find('#'))));
    if (entry.ok() && entry->principal.name == name) {
      ++*removed;
    } else {
      absl::StrAppend(&kept, line, "\n");
    }
  }
  return kept;
}

const TokenEntry* FindToken(const std::vector<TokenEntry>& entries, absl::string_view hash) {
  const TokenEntry* found = nullptr;
  if (hash.size() != kHashDigits) return nullptr;
  for (const TokenEntry& entry : entries) {
    if (CRYPTO_memcmp(entry.principal.token_hash.data(), hash.data(), kHashDigits) == 0) found = &entry;
  }
  return found;
}

}  // namespace pixelrec::rpc
