#include "common/rpc/tls/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/tls/tls_source.h"
#include "common/storage/atomic_file.h"
#include "tests/common/rpc/test_certificates.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::rpc {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class CertificateTest : public testing::Test {
 protected:
  std::string ErrorOf(const TlsFiles& files, absl::Time now = absl::Now()) {
    const absl::Status status = LoadTls(files, now).status();
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  }

  TemporaryFolder dir_;
  const TestCa ca_;
  const TestCa::Files one_ = ca_.Issue(dir_.path(), "one", {.server = true});
  const TestCa::Files two_ = ca_.Issue(dir_.path(), "two", {.server = true});
  const std::filesystem::path ca_file_ = dir_.Write("ca.pem", ca_.pem());
};

TEST_F(CertificateTest, ReadsWhatBelongsTogether) {
  const auto material = LoadTls({one_.cert, one_.key, ca_file_}, absl::Now());
  ASSERT_TRUE(material.ok()) << material.status();
  EXPECT_THAT(material->cert, StartsWith("-----BEGIN CERTIFICATE-----"));
  EXPECT_THAT(material->key, StartsWith("-----BEGIN PRIVATE KEY-----"));
  EXPECT_EQ(material->ca, ca_.pem());
  EXPECT_TRUE(LoadTls({.ca = ca_file_}, absl::Now()).ok());
}

TEST_F(CertificateTest, SaysWhichFileIsWrongAndWhy) {
  const std::string none = (dir_ / "none").string();
  EXPECT_THAT(ErrorOf({none, one_.key}), HasSubstr(none));
  EXPECT_THAT(ErrorOf({one_.cert, none}), HasSubstr(none));
  EXPECT_THAT(ErrorOf({.ca = none}), HasSubstr(none));
  EXPECT_EQ(ErrorOf({.cert = one_.cert}), "tls_cert without tls_key: a certificate and its private key come together");
  EXPECT_EQ(ErrorOf({.key = one_.key}), "tls_key without tls_cert: a certificate and its private key come together");
  EXPECT_EQ(ErrorOf({one_.cert, two_.key}),
            absl::StrCat(two_.key.string(), ": is not the private key of the certificate in ", one_.cert.string()));
  EXPECT_EQ(ErrorOf({one_.key, one_.key}),
            absl::StrCat(one_.key.string(), ": is not a certificate in PEM (-----BEGIN CERTIFICATE-----)"));
  EXPECT_EQ(ErrorOf({one_.cert, one_.cert}),
            absl::StrCat(one_.cert.string(), ": is not an unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)"));
  const std::string junk = dir_.Write("junk", "junk").string();
  EXPECT_THAT(ErrorOf({.ca = junk}), StartsWith(junk + ": is not a certificate"));
  const std::string half = dir_.Write("half", ca_.pem().substr(0, 200)).string();
  EXPECT_THAT(ErrorOf({.ca = half}), StartsWith(half + ": is not a certificate"));
}

TEST_F(CertificateTest, LooksAtTheDates) {
  const auto old = ca_.Issue(dir_.path(), "old", {.begins = -absl::Hours(3), .ends = -absl::Hours(2)});
  const auto future = ca_.Issue(dir_.path(), "future", {.begins = absl::Hours(2), .ends = absl::Hours(3)});
  EXPECT_THAT(ErrorOf({old.cert, old.key}), HasSubstr("old.pem: the certificate expired on "));
  EXPECT_THAT(ErrorOf({future.cert, future.key}), HasSubstr("future.pem: the certificate is only valid from "));
  EXPECT_TRUE(LoadTls({old.cert, old.key}, absl::Now() - absl::Minutes(150)).ok());
}

class TlsSourceTest : public CertificateTest {
 protected:
  void SetUp() override {
    auto made = TlsSource::Create({.files = {one_.cert, one_.key, ca_file_},
                                   .log = [this](absl::string_view text) { absl::StrAppend(&log_, text, "\n"); },
                                   .now = absl::Now});
    ASSERT_TRUE(made.ok()) << made.status();
    source_ = *std::move(made);
  }
  std::unique_ptr<TlsSource> source_;
  std::string log_;
};

TEST_F(TlsSourceTest, GivesARenewedCertificateANewVersion) {
  const auto before = source_->Get();
  EXPECT_EQ(source_->Get().version, before.version);
  ca_.Issue(dir_.path(), "one", {.server = true});
  const auto after = source_->Get();
  EXPECT_NE(after.version, before.version);
  EXPECT_NE(after.material.cert, before.material.cert);
  EXPECT_EQ(source_->Get().version, after.version);
  EXPECT_EQ(log_, "a new certificate is in use for new connections\n");
}

// The certificate's file is replaced before the key's: for an instant they don't belong together.
TEST_F(TlsSourceTest, HalfARenewalKeepsTheOneBefore) {
  const auto before = source_->Get();
  std::filesystem::copy_file(two_.cert, one_.cert, std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(source_->Get().material, before.material);
  EXPECT_EQ(source_->Get().material, before.material);
  EXPECT_EQ(log_, absl::StrCat("the new certificate can't be used, the one before stays in use: ", one_.key.string(),
                               ": is not the private key of the certificate in ", one_.cert.string(), "\n"));
  log_.clear();
  std::filesystem::copy_file(two_.key, one_.key, std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(source_->Get().material, before.material);
  EXPECT_EQ(log_, "a new certificate is in use for new connections\n");
}

TEST_F(TlsSourceTest, FilesThatGoKeepTheOneBefore) {
  const auto before = source_->Get();
  std::filesystem::remove(one_.cert);
  EXPECT_EQ(source_->Get().material, before.material);
  EXPECT_THAT(log_, HasSubstr("one.pem"));
}

}  // namespace
}  // namespace pixelrec::rpc
