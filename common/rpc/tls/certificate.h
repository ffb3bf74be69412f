// Certificates and private keys in PEM, read and checked before gRPC sees them: it would only say "handshake failed", later.
//
// Threads: pure functions of their arguments and the files.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace pixelrec::rpc {

struct TlsFiles {
  std::filesystem::path cert, key;  // own, with the chain; both or neither
  std::filesystem::path ca;         // of the other side; may be empty
};

struct TlsMaterial {
  std::string cert, key, ca;  // PEM
  bool operator==(const TlsMaterial&) const = default;
};

// NOT_FOUND, PERMISSION_DENIED: a file can't be read. INVALID_ARGUMENT: it isn't PEM, the key isn't the certificate's, one of
// both is missing, or the certificate isn't valid at `now`. The message names the file.
absl::StatusOr<TlsMaterial> LoadTls(const TlsFiles& files, absl::Time now);

}  // namespace pixelrec::rpc
