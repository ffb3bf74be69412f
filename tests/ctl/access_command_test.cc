// How pixelrecctl says who it is, what it says when it may not, and the tokens it makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/rpc/auth/authenticator.h"
#include "common/rpc/tls/server_credentials.h"
#include "common/storage/atomic_file.h"
#include "tests/common/rpc/test_certificates.h"
#include "tests/ctl/served_ctl.h"

namespace pixelrec::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

// Answers `list` with who asks.
class WhoAsks final : public v1::JobService::Service {
 public:
  explicit WhoAsks(rpc::Authenticator& authenticator) : authenticator_(authenticator) {}
  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest*, v1::ListJobsResponse* response) override {
    const auto caller = authenticator_.Identify(*context);
    if (!caller.ok()) return rpc::ToGrpc(caller.status());
    response->add_jobs()->set_job_id(caller->name);
    return grpc::Status::OK;
  }

 private:
  rpc::Authenticator& authenticator_;
};

class AccessCommand : public CtlProcess {
 protected:
  void SetUp() override {
    CtlProcess::SetUp();
    const std::string token = rpc::NewToken().value();
    token_ = Write("alice.token", token + "\n");
    authenticator_ = rpc::Authenticator::Create({.token_file = Write("tokens", "admin alice " + rpc::HashToken(token))}).value();
    service_ = std::make_unique<WhoAsks>(*authenticator_);
    ca_file_ = Write("ca.pem", ca_.pem());
    const TestCa::Files files = ca_.Issue(dir_, "server", {.server = true});
    rpc::Server::Options options;
    options.credentials = rpc::ReloadingServerCredentials(
        rpc::TlsSource::Create({.files = {files.cert, files.key, ca_file_}, .now = absl::Now}).value());
    server_ = rpc::Server::Start(std::move(options), {service_.get()}).value();
    plain_ = rpc::Server::Start({}, {service_.get()}).value();
  }
  void TearDown() override {
    server_->Stop(std::chrono::milliseconds(0));
    plain_->Stop(std::chrono::milliseconds(0));
    CtlProcess::TearDown();
  }
  void WriteConfig(const std::string& text) {
    std::filesystem::create_directories(dir_ / ".config" / "pixelrec");
    Write(".config/pixelrec/config.yaml", text);
  }

  const TestCa ca_, other_ca_;
  std::string ca_file_, token_;
  std::unique_ptr<rpc::Authenticator> authenticator_;
  std::unique_ptr<WhoAsks> service_;
  std::unique_ptr<rpc::Server> server_, plain_;
};

TEST_F(AccessCommand, FlagsSayWho) {
  const CtlRun by_token = Run({"--server", server_->address(), "--tls-ca", ca_file_, "--token-file", token_, "list"});
  EXPECT_EQ(by_token.exit_code, 0) << by_token.output;
  EXPECT_THAT(by_token.output, HasSubstr("alice"));
  const auto bob = ca_.Issue(dir_, "bob", {.uri = "pixelrec://viewer/bob"});
  const CtlRun by_certificate =
      Run({"list", "--server", server_->address(), "--tls-ca", ca_file_, "--tls-cert", bob.cert, "--tls-key", bob.key});
  EXPECT_EQ(by_certificate.exit_code, 0) << by_certificate.output;
  EXPECT_THAT(by_certificate.output, HasSubstr("bob"));
  EXPECT_THAT(Run({"--server", plain_->address(), "--token-file", token_, "list"}).output, HasSubstr("alice"));
}

TEST_F(AccessCommand, TheFileSaysWhoAndTheEnvironmentAndFlagsKnowBetter) {
  WriteConfig(absl::StrCat("server: ", server_->address(), "\ntls_ca: ", ca_file_, "\ntoken_file: ../../alice.token\n"));
  EXPECT_THAT(Run({"list"}).output, HasSubstr("alice"));
  const auto bob = ca_.Issue(dir_, "bob", {.uri = "pixelrec://viewer/bob"});
  WriteConfig(absl::StrCat("server: ", server_->address(), "\ntls_ca: /nowhere/ca\n"));
  extra_environment_ = {"PIXELREC_TLS_CA=" + ca_file_, "PIXELREC_TLS_CERT=" + bob.cert.string(),
                        "PIXELREC_TLS_KEY=" + bob.key.string()};
  EXPECT_THAT(Run({"list"}).output, HasSubstr("bob"));
  EXPECT_THAT(Run({"list", "--token-file", token_}).output, HasSubstr("alice"));
  extra_environment_.push_back("PIXELREC_TOKEN_FILE=/nowhere/token");
  EXPECT_THAT(Run({"list"}).output, HasSubstr("/nowhere/token"));
  EXPECT_THAT(Run({"list", "--token-file", token_}).output, HasSubstr("alice"));
}

TEST_F(AccessCommand, TheFilesTokenGoesToItsServerAlone) {
  WriteConfig(absl::StrCat("server: ", plain_->address(), "\ntoken_file: ", token_, "\n"));
  EXPECT_THAT(Run({"list"}).output, HasSubstr("alice"));
  EXPECT_THAT(Run({"--server", plain_->address(), "list"}).output, HasSubstr("alice"));
  const auto other = rpc::Server::Start({}, {service_.get()}).value();
  const CtlRun elsewhere = Run({"--server", other->address(), "list"});
  EXPECT_EQ(elsewhere.exit_code, 5) << elsewhere.output;
  other->Stop(std::chrono::milliseconds(0));
  WriteConfig(absl::StrCat("token_file: ", token_, "\n"));
  EXPECT_THAT(Run({"--server", plain_->address(), "list"}).output, HasSubstr("alice"));
}

TEST_F(AccessCommand, ABadFileIsSaidWithLineAndColumn) {
  WriteConfig("sever: a:1\n");
  const CtlRun run = Run({"list"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_EQ(run.output, absl::StrCat("error: ", (dir_ / ".config/pixelrec/config.yaml").string(),
                                     ":1:1: unknown key \"sever\"; did you mean \"server\"?\n"));
}

TEST_F(AccessCommand, NotKnownIsExitCode5AndSaysHowToMend) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--server", plain_->address(), "list"},
        {"--server", server_->address(), "--tls-ca", ca_file_, "list"},
        {"--server", plain_->address(), "--token-file", Write("wrong.token", "pxr_wrong"), "list"}}) {
    const CtlRun run = Run(arguments);
    EXPECT_EQ(run.exit_code, 5) << run.output;
    EXPECT_THAT(run.output, testing::MatchesRegex("error: [^\n]*--token-file[^\n]*\n"));
  }
}

TEST_F(AccessCommand, AHandshakeThatFailsIsExitCode5AndSaysWhy) {
  const std::string other_ca = Write("other.pem", other_ca_.pem());
  const CtlRun wrong_ca = Run({"--server", server_->address(), "--tls-ca", other_ca, "--token-file", token_, "list"});
  EXPECT_EQ(wrong_ca.exit_code, 5) << wrong_ca.output;
  EXPECT_THAT(wrong_ca.output, HasSubstr("TLS"));
  const auto forged = other_ca_.Issue(dir_, "forged", {.uri = "pixelrec://admin/root"});
  const CtlRun wrong_cert =
      Run({"--server", server_->address(), "--tls-ca", ca_file_, "--tls-cert", forged.cert, "--tls-key", forged.key, "list"});
  EXPECT_EQ(wrong_cert.exit_code, 5) << wrong_cert.output;
  EXPECT_THAT(wrong_cert.output, HasSubstr("TLS"));
}

TEST_F(AccessCommand, PlaintextOverANetworkIsRefusedBeforeAnythingIsSent) {
  const CtlRun run = Run({"--server", "192.0.2.1:7070", "--token-file", token_, "list"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, testing::MatchesRegex("error: refusing to speak plaintext to 192.0.2.1:7070[^\n]*--insecure[^\n]*\n"));
}

TEST_F(AccessCommand, ExpiredOwnCertificatesAreSaidBeforeACall) {
  const auto old = ca_.Issue(dir_, "old", {.uri = "pixelrec://viewer/bob", .begins = -absl::Hours(2), .ends = -absl::Hours(1)});
  const CtlRun run =
      Run({"--server", server_->address(), "--tls-ca", ca_file_, "--tls-cert", old.cert, "--tls-key", old.key, "list"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("old.pem: the certificate expired on"));
}

TEST_F(AccessCommand, ATokenIsShownOnceAndTheFileKeepsItsHash) {
  const std::string tokens = (dir_ / "made").string();
  const CtlRun made =
      Run({"admin", "token", "create", "--role", "submitter", "--name", "carol", "--days", "30", "--tokens", tokens});
  ASSERT_EQ(made.exit_code, 0) << made.output;
  const std::vector<std::string> lines = absl::StrSplit(made.output, '\n', absl::SkipEmpty());
  const std::string token = lines.back();
  EXPECT_EQ(token.rfind("pxr_", 0), 0u) << made.output;
  const std::string file = storage::ReadFile(tokens).value();
  EXPECT_THAT(file, Not(HasSubstr(token)));
  EXPECT_THAT(file, testing::StartsWith(absl::StrCat("submitter carol ", rpc::HashToken(token), " 20")));
  EXPECT_EQ(std::filesystem::status(tokens).permissions() & std::filesystem::perms::all,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);

  ASSERT_EQ(Run({"admin", "token", "create", "--role", "worker", "--name", "gpu-*", "--tokens", tokens}).exit_code, 0);
  const CtlRun listed = Run({"admin", "token", "list", "--tokens", tokens});
  EXPECT_THAT(listed.output, HasSubstr("carol"));
  EXPECT_THAT(listed.output, HasSubstr("gpu-*  never"));
  EXPECT_THAT(listed.output, Not(HasSubstr(token)));
  EXPECT_EQ(Run({"admin", "token", "revoke", "--name", "carol", "--tokens", tokens}).output, "revoked 1 token of carol\n");
  EXPECT_THAT(storage::ReadFile(tokens).value(), testing::StartsWith("worker gpu-* "));
  EXPECT_EQ(Run({"admin", "token", "revoke", "--name", "carol", "--tokens", tokens}).exit_code, 3);
}

TEST_F(AccessCommand, TokensThatCannotBeAreRefused) {
  EXPECT_EQ(Run({"admin", "token", "create", "--role", "root", "--name", "x"}).exit_code, 2);
  EXPECT_EQ(Run({"admin", "token", "create", "--role", "admin", "--name", "a b"}).exit_code, 4);
  EXPECT_EQ(Run({"admin", "token", "create", "--role", "admin", "--name", "local"}).exit_code, 4);
  const std::string bad = Write("bad", "nonsense\n");
  const CtlRun run = Run({"admin", "token", "create", "--role", "admin", "--name", "x", "--tokens", bad});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("bad:1: must be ROLE NAME SHA256"));
  EXPECT_EQ(storage::ReadFile(bad).value(), "nonsense\n");
}

}  // namespace
}  // namespace pixelrec::ctl
