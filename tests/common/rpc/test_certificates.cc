#include "tests/common/rpc/test_certificates.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/rpc/tls/openssl_owner.h"
#include "common/storage/atomic_file.h"

namespace pixelrec {
namespace {

using Bio = rpc::BioOwner;
using Certificate = rpc::CertificateOwner;
using Key = rpc::KeyOwner;

Key NewKey() { return Key(EVP_EC_gen("P-256")); }

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}
std::string PemOf(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return TextOf(bio.get());
}
std::string PemOf(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return TextOf(bio.get());
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

Certificate NewCertificate(const std::string& name, EVP_PKEY* key, X509* issuer, absl::Time begin, absl::Time end) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  uint32_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial + 1ull);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(begin));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(end));
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer == nullptr ? certificate.get() : issuer));
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

}  // namespace

struct TestCa::Parts {
  rpc::KeyOwner key = NewKey();
  rpc::CertificateOwner certificate;
};

TestCa::TestCa() : parts_(std::make_unique<Parts>()) {
  const absl::Time now = absl::Now();
  parts_->certificate = NewCertificate("test CA", parts_->key.get(), nullptr, now - absl::Hours(24), now + absl::Hours(24));
  AddExtension(parts_->certificate.get(), parts_->certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(parts_->certificate.get(), parts_->certificate.get(), NID_key_usage, "critical,keyCertSign");
  EXPECT_GT(X509_sign(parts_->certificate.get(), parts_->key.get(), EVP_sha256()), 0);
  pem_ = PemOf(parts_->certificate.get());
}

TestCa::~TestCa() = default;

TestCa::Files TestCa::Issue(const std::filesystem::path& folder, const std::string& name, const Subject& subject) const {
  const Key key = NewKey();
  const absl::Time now = absl::Now();
  Certificate certificate = NewCertificate(name, key.get(), parts_->certificate.get(), now + subject.begins, now + subject.ends);
  std::vector<std::string> names;
  if (!subject.uri.empty()) names.push_back("URI:" + subject.uri);
  if (!subject.more_uris.empty()) names.push_back(subject.more_uris);
  if (subject.server) names.push_back("IP:127.0.0.1,IP:::1,DNS:localhost");
  if (!names.empty()) AddExtension(certificate.get(), parts_->certificate.get(), NID_subject_alt_name, absl::StrJoin(names, ","));
  EXPECT_GT(X509_sign(certificate.get(), parts_->key.get(), EVP_sha256()), 0);
  const Files files{folder / (name + ".pem"), folder / (name + ".key")};
  EXPECT_TRUE(storage::WriteFileAtomically(files.key, PemOf(key.get())).ok());
  EXPECT_TRUE(storage::WriteFileAtomically(files.cert, PemOf(certificate.get())).ok());
  return files;
}

}  // namespace pixelrec
