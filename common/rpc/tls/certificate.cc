#include "common/rpc/tls/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/tls/openssl_owner.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::rpc {
namespace {

namespace fs = std::filesystem;

absl::Status Refused(const fs::path& file, absl::string_view why) {
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(file.string(), ": ", why));
}

BioOwner MemoryOf(const std::string& pem) { return BioOwner(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

// Asked for a passphrase, OpenSSL would read the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<std::vector<CertificateOwner>> Certificates(const fs::path& file, const std::string& pem) {
  const BioOwner bio = MemoryOf(pem);
  std::vector<CertificateOwner> found;
  while (CertificateOwner next{PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr)}) found.push_back(std::move(next));
  if (found.empty() || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return Refused(file, "is not a certificate in PEM (-----BEGIN CERTIFICATE-----)");
  }
  ERR_clear_error();
  return found;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? absl::FromTM(parts, absl::UTCTimeZone()) : absl::InfinitePast();
}

absl::Status CheckDates(const fs::path& file, const X509* certificate, absl::Time now) {
  const absl::Time begin = TimeOf(X509_get0_notBefore(certificate)), end = TimeOf(X509_get0_notAfter(certificate));
  if (now > end) return Refused(file, absl::StrCat("the certificate expired on ", absl::FormatTime(end, absl::UTCTimeZone())));
  if (now < begin) {
    return Refused(file, absl::StrCat("the certificate is only valid from ", absl::FormatTime(begin, absl::UTCTimeZone()),
                                      " on; is this machine's clock right?"));
  }
  return absl::OkStatus();
}

absl::Status LoadOwn(const TlsFiles& files, absl::Time now, TlsMaterial& material) {
  for (const auto& [file, text] : {std::pair{files.cert, &material.cert}, {files.key, &material.key}}) {
    absl::StatusOr<std::string> read = storage::ReadFile(file);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  const auto chain = Certificates(files.cert, material.cert);
  if (!chain.ok()) return chain.status();
  if (absl::Status status = CheckDates(files.cert, chain->front().get(), now); !status.ok()) return status;
  const BioOwner bio = MemoryOf(material.key);
  const KeyOwner key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return Refused(files.key, "is not an unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)");
  if (X509_check_private_key(chain->front().get(), key.get()) != 1) {
    return Refused(files.key, absl::StrCat("is not the private key of the certificate in ", files.cert.string()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsMaterial> LoadTls(const TlsFiles& files, absl::Time now) {
  TlsMaterial material;
  if (files.cert.empty() != files.key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(files.cert.empty() ? "tls_key without tls_cert" : "tls_cert without tls_key",
                                                   ": a certificate and its private key come together"));
  }
  if (!files.cert.empty()) {
    if (absl::Status status = LoadOwn(files, now, material); !status.ok()) return status;
  }
  if (!files.ca.empty()) {
    absl::StatusOr<std::string> ca = storage::ReadFile(files.ca);
    if (!ca.ok()) return ca.status();
    if (auto parsed = Certificates(files.ca, *ca); !parsed.ok()) return parsed.status();
    material.ca = *std::move(ca);
  }
  return material;
}

}  // namespace pixelrec::rpc
