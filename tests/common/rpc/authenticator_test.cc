#include "common/rpc/auth/authenticator.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::rpc {
namespace {

class AuthenticatorTest : public testing::Test {
 protected:
  void Start(const std::string& tokens) {
    file_ = dir_.Write("tokens", tokens);
    auto made = Authenticator::Create({.token_file = file_,
                                       .log = [this](absl::string_view text) { absl::StrAppend(&log_, text, "\n"); },
                                       .now = [this] { return now_; }});
    ASSERT_TRUE(made.ok()) << made.status();
    authenticator_ = *std::move(made);
  }
  // As an editor or `pixelrecctl admin` leaves it.
  void Replace(const std::string& tokens) {
    dir_.Write("new", tokens);
    std::filesystem::rename(dir_ / "new", file_);
  }
  absl::StatusOr<Principal> WithToken(absl::string_view token) {
    const std::string header = absl::StrCat("Bearer ", token);
    return authenticator_->Identify({header}, {});
  }
  static std::string Line(absl::string_view role, absl::string_view name, absl::string_view token,
                          absl::string_view expires = "") {
    return absl::StrCat(role, " ", name, " ", HashToken(token), " ", expires, "\n");
  }

  TemporaryFolder dir_;
  std::filesystem::path file_;
  std::string log_;
  absl::Time now_ = absl::FromUnixSeconds(1790000000);
  std::unique_ptr<Authenticator> authenticator_;
};

TEST_F(AuthenticatorTest, ATokenIsItsLines) {
  Start(Line("submitter", "alice", "a") + Line("viewer", "bob", "b"));
  ASSERT_TRUE(WithToken("a").ok()) << WithToken("a").status();
  EXPECT_EQ(WithToken("a")->name, "alice");
  EXPECT_EQ(WithToken("b")->role, Role::kViewer);
}

TEST_F(AuthenticatorTest, NobodyIsTheDefault) {
  Start(Line("admin", "alice", "a"));
  const std::vector<std::vector<absl::string_view>> headers = {
      {"Bearer b"}, {"Bearer "}, {"a"}, {"bearer a"}, {"Basic a"}, {"Bearer a", "Bearer a"}, {"Bearer a "}, {""}};
  for (const auto& header : headers) {
    const absl::Status status = authenticator_->Identify(header, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << header.front();
    EXPECT_EQ(ReasonOf(status), kTokenUnknown) << header.front();
  }
  EXPECT_EQ(ReasonOf(authenticator_->Identify({}, {}).status()), kCredentialsMissing);
  EXPECT_EQ(ReasonOf(authenticator_->Identify({}, {"spiffe://cluster/alice"}).status()), kCredentialsMissing);
}

TEST_F(AuthenticatorTest, ACertificateIsItsUri) {
  Start("");
  EXPECT_EQ(authenticator_->Identify({}, {"spiffe://cluster/x", "pixelrec://worker/gpu-1"})->name, "gpu-1");
  EXPECT_EQ(ReasonOf(authenticator_->Identify({}, {"pixelrec://root/x"}).status()), kCertificateNamesNobody);
  EXPECT_EQ(ReasonOf(authenticator_->Identify({}, {"pixelrec://viewer/x", "pixelrec://admin/x"}).status()),
            kCertificateNamesNobody);
}

// A bad token is an attempt that the certificate must not cover up.
TEST_F(AuthenticatorTest, ATokenGoesBeforeTheCertificate) {
  Start(Line("viewer", "bob", "b"));
  EXPECT_EQ(authenticator_->Identify({"Bearer b"}, {"pixelrec://admin/root"})->name, "bob");
  EXPECT_FALSE(authenticator_->Identify({"Bearer wrong"}, {"pixelrec://admin/root"}).ok());
}

TEST_F(AuthenticatorTest, ATokenExpires) {
  Start(Line("admin", "alice", "a", "2026-09-21T14:00:00Z"));
  now_ = absl::FromCivil(absl::CivilSecond(2026, 9, 21, 13, 59, 59), absl::UTCTimeZone());
  const auto alice = WithToken("a");
  ASSERT_TRUE(alice.ok()) << alice.status();
  EXPECT_TRUE(authenticator_->StillGood(*alice).ok());
  now_ += absl::Seconds(1);
  EXPECT_EQ(ReasonOf(WithToken("a").status()), kTokenExpired);
  EXPECT_EQ(authenticator_->StillGood(*alice).code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(AuthenticatorTest, ALineThatGoesIsATokenThatGoes) {
  Start(Line("admin", "alice", "a") + Line("viewer", "bob", "b"));
  const Principal alice = WithToken("a").value(), bob = WithToken("b").value();
  Replace(Line("viewer", "bob", "b"));
  EXPECT_EQ(ReasonOf(WithToken("a").status()), kTokenUnknown);
  EXPECT_FALSE(authenticator_->StillGood(alice).ok());
  EXPECT_TRUE(authenticator_->StillGood(bob).ok());
  Replace(Line("admin", "bob", "b") + Line("viewer", "carol", "c"));
  EXPECT_EQ(WithToken("c")->name, "carol");
  EXPECT_FALSE(authenticator_->StillGood(bob).ok()) << "bob has become another";
  EXPECT_EQ(log_, "");
}

// Written twice within one tick of the file system's clock, with the same length.
TEST_F(AuthenticatorTest, AChangeInPlaceIsSeenAtOnce) {
  Start(Line("admin", "alice", "a"));
  ASSERT_TRUE(WithToken("a").ok());
  dir_.Write("tokens", Line("admin", "alice", "b"));
  EXPECT_FALSE(WithToken("a").ok());
  EXPECT_TRUE(WithToken("b").ok());
}

TEST_F(AuthenticatorTest, ABadFileKeepsTheTokensBeforeAndSaysSoOnce) {
  Start(Line("admin", "alice", "a"));
  Replace("nonsense\n");
  EXPECT_TRUE(WithToken("a").ok());
  EXPECT_TRUE(WithToken("a").ok());
  EXPECT_EQ(log_, absl::StrCat("the token file can't be used, the tokens before stay good: ", file_.string(),
                               ":1: must be ROLE NAME SHA256 [EXPIRES], as `pixelrecctl admin token create` writes it\n"));
  std::filesystem::remove(file_);
  EXPECT_TRUE(WithToken("a").ok());
  Replace("");
  EXPECT_FALSE(WithToken("a").ok()) << "an empty file revokes all";
}

TEST_F(AuthenticatorTest, AFileThatIsMissingOrWrongAtTheStartIsRefused) {
  EXPECT_EQ(Authenticator::Create({.token_file = dir_ / "none"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Authenticator::Create({.token_file = dir_.Write("bad", "x")}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pixelrec::rpc
