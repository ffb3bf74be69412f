// Servers and channels with TLS, over real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "common/rpc/auth/authenticator.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/rpc/tls/server_credentials.h"
#include "pixelrec/v1/job_service.grpc.pb.h"
#include "tests/common/rpc/health_probe.h"
#include "tests/common/rpc/test_certificates.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::rpc {
namespace {

using testing::HasSubstr;

// Answers with who calls, as the connection and the headers say; streams what it is given until it is cancelled.
class WhoAmI final : public v1::JobService::Service {
 public:
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest*, v1::GetJobResponse* response) override {
    const auto caller = authenticator_->Identify(*context);
    response->mutable_job()->set_job_id(caller.ok() ? caller->name : "");
    response->mutable_job()->set_reason(std::string(caller.status().message()));
    return grpc::Status::OK;
  }
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::WatchJobResponse>* writer) override {
    v1::WatchJobResponse message;
    do {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](int* allowed) { return *allowed > 0; }, &allowed_));
      // A write to a reader that has just gone may still succeed: it doesn't end this loop for sure.
      if (ended_) break;
      --allowed_;
      message.mutable_event()->set_sequence(message.event().sequence() + 1);
    } while (writer->Write(message));
    return grpc::Status::OK;
  }
  void AllowOne() {
    absl::MutexLock lock(&mutex_);
    ++allowed_;
  }
  void EndStreams() {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    ++allowed_;
  }
  void Use(Authenticator* authenticator) { authenticator_ = authenticator; }

 private:
  Authenticator* authenticator_ = nullptr;
  absl::Mutex mutex_;
  int allowed_ = 0;
  bool ended_ = false;
};

class TlsServer : public testing::Test {
 protected:
  void SetUp() override {
    token_ = NewToken().value();
    tokens_ = dir_.Write("tokens", "submitter alice " + HashToken(token_) + "\n");
    token_file_ = dir_.Write("alice.token", token_ + "\n");
    authenticator_ = Authenticator::Create({.token_file = tokens_}).value();
    service_.Use(authenticator_.get());
    server_ = Serve(server_files_);
  }
  void TearDown() override {
    service_.EndStreams();
    server_->Stop(std::chrono::milliseconds(0));
  }

  std::unique_ptr<Server> Serve(const TestCa::Files& files) {
    Server::Options options;
    options.credentials =
        ReloadingServerCredentials(TlsSource::Create({.files = {files.cert, files.key, ca_file_}, .now = absl::Now}).value());
    auto server = Server::Start(std::move(options), {&service_});
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  static grpc::Status Ask(const std::shared_ptr<grpc::Channel>& channel, v1::Job* job) {
    grpc::ClientContext context;
    SetDeadline(context, std::chrono::seconds(10));
    v1::GetJobResponse response;
    grpc::Status status = v1::JobService::NewStub(channel)->GetJob(&context, {}, &response);
    *job = response.job();
    return status;
  }
  // Who the server takes us for; "refused" if the connection was.
  std::string Name(const config::ClientSecurity& security, const Server& server) {
    const auto channel = OpenChannel(server.address(), security);
    EXPECT_TRUE(channel.ok()) << channel.status();
    v1::Job job;
    const grpc::Status status = Ask(*channel, &job);
    return status.ok() ? job.job_id() : "refused";
  }
  std::string Name(const config::ClientSecurity& security) { return Name(security, *server_); }
  config::ClientSecurity With(const TestCa::Files& files) const {
    return {.tls_ca = ca_file_, .tls_cert = files.cert, .tls_key = files.key};
  }

  TemporaryFolder dir_;
  const TestCa ca_, other_ca_;
  const std::filesystem::path ca_file_ = dir_.Write("ca.pem", ca_.pem());
  const std::filesystem::path other_ca_file_ = dir_.Write("other.pem", other_ca_.pem());
  const TestCa::Files server_files_ = ca_.Issue(dir_.path(), "server", {.server = true});
  std::string token_;
  std::filesystem::path tokens_, token_file_;
  std::unique_ptr<Authenticator> authenticator_;
  WhoAmI service_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsServer, KnowsItsCallersByCertificate) {
  EXPECT_EQ(Name(With(ca_.Issue(dir_.path(), "client", {.uri = "pixelrec://viewer/bob"}))), "bob");
}

TEST_F(TlsServer, KnowsItsCallersByToken) { EXPECT_EQ(Name({.tls_ca = ca_file_, .token_file = token_file_}), "alice"); }

TEST_F(TlsServer, ATokenGoesBeforeACertificate) {
  config::ClientSecurity both = With(ca_.Issue(dir_.path(), "client", {.uri = "pixelrec://viewer/bob"}));
  both.token_file = token_file_;
  EXPECT_EQ(Name(both), "alice");
}

TEST_F(TlsServer, ACallerWithNeitherIsNobody) {
  v1::Job job;
  ASSERT_TRUE(Ask(OpenChannel(server_->address(), {.tls_ca = ca_file_}).value(), &job).ok());
  EXPECT_EQ(job.job_id(), "");
  EXPECT_THAT(job.reason(), HasSubstr("give a token, or a client certificate"));
}

TEST_F(TlsServer, ACertificateOfAnotherCaIsRefused) {
  EXPECT_EQ(Name(With(other_ca_.Issue(dir_.path(), "forged", {.uri = "pixelrec://admin/root"}))), "refused");
}

// A client that looks at its own certificate would not even try; this one doesn't.
TEST_F(TlsServer, AnExpiredCertificateIsRefused) {
  const auto expired =
      ca_.Issue(dir_.path(), "expired", {.uri = "pixelrec://admin/root", .begins = -absl::Hours(3), .ends = -absl::Hours(2)});
  EXPECT_EQ(OpenChannel(server_->address(), With(expired)).status().code(), absl::StatusCode::kInvalidArgument);
  const TlsMaterial material = LoadTls({expired.cert, expired.key, ca_file_}, absl::Now() - absl::Minutes(150)).value();
  v1::Job job;
  const auto channel = grpc::CreateChannel(
      server_->address(),
      grpc::SslCredentials({.pem_root_certs = material.ca, .pem_private_key = material.key, .pem_cert_chain = material.cert}));
  EXPECT_EQ(Ask(channel, &job).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(job.job_id(), "");
}

TEST_F(TlsServer, AClientRefusesAServerOfAnotherCa) { EXPECT_EQ(Name({.tls_ca = other_ca_file_}), "refused"); }

TEST_F(TlsServer, AClientRefusesAServerOfAnotherName) {
  const auto elsewhere = Serve(ca_.Issue(dir_.path(), "elsewhere", {.uri = "pixelrec://worker/w"}));
  EXPECT_EQ(Name({.tls_ca = ca_file_}, *elsewhere), "refused");
}

TEST_F(TlsServer, PlaintextIsRefused) { EXPECT_EQ(Name({.token_file = token_file_}), "refused"); }

TEST_F(TlsServer, ServesOnAnyAddress) {
  Server::Options options;
  options.address = "0.0.0.0:0";
  options.credentials =
      ReloadingServerCredentials(TlsSource::Create({.files = {server_files_.cert, server_files_.key}, .now = absl::Now}).value());
  const auto server = Server::Start(std::move(options), {&service_});
  EXPECT_TRUE(server.ok()) << server.status();
}

TEST_F(TlsServer, ARenewedCertificateIsForNewConnectionsAndOldOnesGoOn) {
  const auto old_channel = OpenChannel(server_->address(), {.tls_ca = ca_file_}).value();
  const auto stub = v1::JobService::NewStub(old_channel);
  grpc::ClientContext context;
  SetDeadline(context, std::chrono::seconds(30));
  const auto stream = stub->WatchJob(&context, {});
  v1::WatchJobResponse message;
  service_.AllowOne();
  ASSERT_TRUE(stream->Read(&message));

  // One that only the other CA's clients take.
  other_ca_.Issue(dir_.path(), "server", {.server = true});
  EXPECT_EQ(Name({.tls_ca = ca_file_}), "refused");
  EXPECT_EQ(Name({.tls_ca = other_ca_file_, .token_file = token_file_}), "alice");

  service_.AllowOne();
  ASSERT_TRUE(stream->Read(&message)) << "the stream was cut";
  EXPECT_EQ(message.event().sequence(), 2u);
  v1::Job job;
  EXPECT_TRUE(Ask(old_channel, &job).ok());
  context.TryCancel();
  service_.EndStreams();
  stream->Finish();
}

TEST_F(TlsServer, ARenewalThatIsBrokenKeepsTheOldCertificate) {
  dir_.Write("server.pem", "nothing");
  EXPECT_EQ(Name({.tls_ca = ca_file_, .token_file = token_file_}), "alice");
}

// The worker's way: the certificate is renewed while it runs, and it dials again.
TEST_F(TlsServer, ADialerTakesRenewedFiles) {
  const auto files = ca_.Issue(dir_.path(), "client", {.uri = "pixelrec://viewer/bob"});
  auto dialer = Dialer::Create({.address = server_->address(), .security = With(files)}).value();
  v1::Job job;
  ASSERT_TRUE(Ask(dialer->Dial(), &job).ok());
  EXPECT_EQ(job.job_id(), "bob");
  ca_.Issue(dir_.path(), "client", {.uri = "pixelrec://viewer/carol"});
  ASSERT_TRUE(Ask(dialer->Dial(), &job).ok());
  EXPECT_EQ(job.job_id(), "carol");
  dir_.Write("client.pem", "nothing");
  ASSERT_TRUE(Ask(dialer->Dial(), &job).ok());
  EXPECT_EQ(job.job_id(), "carol");
}

TEST_F(TlsServer, HealthNeedsNoName) {
  EXPECT_EQ(ProbeHealth(*OpenChannel(server_->address(), {.tls_ca = ca_file_}).value(), kLiveness), Health::kServing);
}

TEST(HealthServer, ServesHealthAlone) {
  Server::Options options;
  options.address = "0.0.0.0:0";
  options.insecure = true;
  auto server = Server::Start(std::move(options), {}).value();
  server->SetReady(true);
  const std::string port = server->address().substr(server->address().rfind(':'));
  const auto channel = OpenChannel("127.0.0.1" + port).value();
  EXPECT_EQ(ProbeHealth(*channel, kReadiness), Health::kServing);
  grpc::ClientContext context;
  SetDeadline(context, std::chrono::seconds(10));
  v1::GetJobResponse response;
  EXPECT_EQ(v1::JobService::NewStub(channel)->GetJob(&context, {}, &response).error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(Channel, PlaintextOverANetworkMustBeAskedFor) {
  TemporaryFolder dir;
  const std::filesystem::path token = dir.Write("token", "pxr_x");
  for (const char* address : {"10.0.0.1:7070", "coordinator:7070", "[fd00::1]:7070"}) {
    const absl::Status plain = OpenChannel(address).status(), with_token = OpenChannel(address, {.token_file = token}).status();
    EXPECT_EQ(plain.code(), absl::StatusCode::kFailedPrecondition) << address;
    EXPECT_EQ(with_token.code(), absl::StatusCode::kFailedPrecondition) << address;
    EXPECT_THAT(std::string(plain.message()), HasSubstr("--tls-ca"));
    EXPECT_TRUE(OpenChannel(address, {.token_file = token, .insecure = true}).ok());
  }
  EXPECT_TRUE(OpenChannel("127.0.0.1:7070", {.token_file = token}).ok());
}

TEST(Channel, BadFilesAreOneClearError) {
  TemporaryFolder dir;
  const auto error = [](const config::ClientSecurity& security) {
    return std::string(OpenChannel("127.0.0.1:1", security).status().message());
  };
  EXPECT_THAT(error({.token_file = dir / "none"}), HasSubstr("none"));
  EXPECT_THAT(error({.token_file = dir.Write("empty", " \n")}), HasSubstr("must hold one token"));
  EXPECT_THAT(error({.token_file = dir.Write("two", "a\nb\n")}), HasSubstr("must hold one token"));
  EXPECT_THAT(error({.tls_cert = dir / "c", .tls_key = dir / "k"}), HasSubstr("need tls_ca"));
  EXPECT_THAT(error({.tls_ca = dir / "no-ca"}), HasSubstr("no-ca"));
}

}  // namespace
}  // namespace pixelrec::rpc
