// What coordinator.yaml, worker.yaml and pixelrecctl's config.yaml say about who is who on the wire (docs/security.md).
//
// Paths of files that are read anew when they change. Empty: none.
#pragma once

#include <filesystem>

namespace pixelrec::config {

// Of one that calls: pixelrecctl, pixelrec-worker.
struct ClientSecurity {
  std::filesystem::path tls_ca;  // certificates (PEM) that sign the server's; TLS is spoken if this is set
  std::filesystem::path tls_cert, tls_key;
  std::filesystem::path token_file;  // the secret alone
  bool insecure = false;             // plaintext to an address that isn't loopback
};

// Of the coordinator.
struct ServerSecurity {
  std::filesystem::path tls_cert, tls_key;
  std::filesystem::path tls_client_ca;  // certificates (PEM) that sign the clients'
  std::filesystem::path token_file;     // hashes (common/rpc/auth/token_file.h)
  bool insecure = false;                // plaintext, and everybody an admin, on an address that isn't loopback
};

// What flags give wins over what a file says.
inline void Override(ClientSecurity& file, const ClientSecurity& flags) {
  using S = ClientSecurity;
  for (auto member : {&S::tls_ca, &S::tls_cert, &S::tls_key, &S::token_file}) {
    if (!(flags.*member).empty()) file.*member = flags.*member;
  }
  file.insecure |= flags.insecure;
}
inline void Override(ServerSecurity& file, const ServerSecurity& flags) {
  using S = ServerSecurity;
  for (auto member : {&S::tls_cert, &S::tls_key, &S::tls_client_ca, &S::token_file}) {
    if (!(flags.*member).empty()) file.*member = flags.*member;
  }
  file.insecure |= flags.insecure;
}

}  // namespace pixelrec::config
