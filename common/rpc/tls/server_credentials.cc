#include "common/rpc/tls/server_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <string>
#include <utility>

namespace pixelrec::rpc {
namespace {

// grpc::SslServerCredentials keeps the certificate it was given for ever, and the file watcher of gRPC 1.51 takes any pair that
// it finds, also one half written (docs/adr/0012); gRPC's own C interface asks back at every handshake.
class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(std::shared_ptr<TlsSource> source, bool asks_for_certificates) : source_(std::move(source)) {
    auto* options = grpc_ssl_server_credentials_create_options_using_config_fetcher(
        asks_for_certificates ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, &Fetch,
        this);
    credentials_ = grpc_ssl_server_credentials_create_with_options(options);
  }
  ~ReloadingCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<ReloadingCredentials*>(self)->FetchNext(config);
  }

  // Called under a lock of gRPC's, one handshake after another.
  grpc_ssl_certificate_config_reload_status FetchNext(grpc_ssl_server_certificate_config** config) {
    const TlsSource::Current current = source_->Get();
    if (current.version == given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair{current.material.key.c_str(), current.material.cert.c_str()};
    // gRPC's debug builds, Debian's among them, abort without roots; where no certificates are asked for, none is held against
    // them.
    const std::string& roots = current.material.ca.empty() ? current.material.cert : current.material.ca;
    *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, /*num_key_cert_pairs=*/1);
    given_ = current.version;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<TlsSource> source_;  // owners: this, whoever made it
  uint64_t given_ = 0;
  grpc_server_credentials* credentials_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> ReloadingServerCredentials(std::shared_ptr<TlsSource> source) {
  const bool asks_for_certificates = !source->Get().material.ca.empty();
  return std::make_shared<ReloadingCredentials>(std::move(source), asks_for_certificates);
}

}  // namespace pixelrec::rpc
