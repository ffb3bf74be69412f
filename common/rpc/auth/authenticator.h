// Tells who calls, from the bearer token of the call or the client certificate of the connection. A call with a token is the
// token's, whatever the certificate says; a token that isn't good is refused and never passed over.
//
// The token file is looked at with every call, so that a line that goes is a token that goes. A file that can't be used is
// complained of once, and the tokens before stay good. Threads: any.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <grpcpp/server_context.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/auth/principal.h"
#include "common/rpc/auth/token_file.h"
#include "common/storage/file_stamp.h"

namespace pixelrec::rpc {

class Authenticator {
 public:
  struct Options {
    std::filesystem::path token_file;  // empty: no token is good
    std::function<void(absl::string_view)> log = [](absl::string_view) {};
    std::function<absl::Time()> now = absl::Now;
  };
  // NOT_FOUND, PERMISSION_DENIED: the token file can't be read. INVALID_ARGUMENT: a line of it is wrong.
  static absl::StatusOr<std::unique_ptr<Authenticator>> Create(Options options);

  // UNAUTHENTICATED: nobody, or nobody known; never says which part of a token was wrong.
  absl::StatusOr<Principal> Identify(const grpc::ServerContextBase& context);
  // The same, of `authorization` headers and of the URIs of a verified certificate.
  absl::StatusOr<Principal> Identify(const std::vector<absl::string_view>& authorizations,
                                     const std::vector<absl::string_view>& uris);
  // Of a principal that was identified earlier: its token is still good.
  absl::Status StillGood(const Principal& principal);

 private:
  explicit Authenticator(Options options) : options_(std::move(options)) {}
  absl::StatusOr<std::vector<TokenEntry>> Read() const;
  void Refresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Principal> OfHash(absl::string_view hash) ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  absl::Mutex mutex_;
  std::vector<TokenEntry> tokens_ ABSL_GUARDED_BY(mutex_);
  storage::FileStamp read_ ABSL_GUARDED_BY(mutex_);
  std::string complaint_ ABSL_GUARDED_BY(mutex_);  // empty: the file is good
};

}  // namespace pixelrec::rpc
