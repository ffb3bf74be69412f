// The coordinator's list of bearer tokens, one a line: ROLE NAME SHA256 [EXPIRES]; '#' begins a comment. The tokens themselves
// are nowhere: each is 256 random bits, which a plain SHA-256 hides as well as any slow hash would.
//
//   submitter alice 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 2027-01-31T00:00:00Z
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/auth/principal.h"

namespace pixelrec::rpc {

struct TokenEntry {
  Principal principal;  // with its token_hash: 64 hexadecimal digits
  absl::Time expires = absl::InfiniteFuture();
};

// A new token: "pxr_" and 43 letters, digits, '-' and '_'. INTERNAL: the system has no random numbers.
absl::StatusOr<std::string> NewToken();
std::string HashToken(absl::string_view token);

// The line of the file, without its end.
std::string TokenLine(const TokenEntry& entry);
// INVALID_ARGUMENT: "NAME:LINE: ..."; `name` is the file's.
absl::StatusOr<std::vector<TokenEntry>> ParseTokens(absl::string_view text, absl::string_view name);

// `text` without the lines of `name`; `removed` counts them. Comments stay.
std::string WithoutTokensOf(absl::string_view text, absl::string_view name, int* removed);

// The entry of the hash; null: none. Takes the same time wherever it stands, and however much of another is alike.
const TokenEntry* FindToken(const std::vector<TokenEntry>& entries, absl::string_view hash);

}  // namespace pixelrec::rpc
