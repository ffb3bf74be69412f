// pixelrec-coordinator as a process: its flags, exit codes, ready file, and what kill -9 leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/process/child.h"
#include "common/process/memory.h"
#include "common/rpc/auth/token_file.h"
#include "tests/common/rpc/health_probe.h"
#include "tests/common/rpc/test_certificates.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

class Program : public ::testing::Test {
 protected:
  struct Running {
    std::unique_ptr<process::Child> child;
    nlohmann::json ready;
  };

  std::unique_ptr<process::Child> Spawn(std::vector<std::string> arguments) {
    auto child = process::Child::Spawn(
        {.program = PIXELREC_BIN_DIR "/pixelrec-coordinator", .arguments = std::move(arguments), .output = dir_ / "output"});
    EXPECT_TRUE(child.ok()) << child.status();
    return *std::move(child);
  }

  static process::Exit Wait(process::Child& child) {
    pollfd fd{child.pidfd(), POLLIN, 0};
    EXPECT_EQ(poll(&fd, 1, 30000), 1) << "it doesn't end";
    return child.Reap().value_or(process::Exit{-1, -1});
  }

  // Starts one and waits until it serves. Its end shows as a test failure.
  Running Start(const std::string& listen = "127.0.0.1:0") {
    const std::filesystem::path ready = dir_ / "ready";
    std::filesystem::remove(ready);
    Running running;
    running.child =
        Spawn({"--listen", listen, "--metrics-listen", "127.0.0.1:0", "--state-dir", dir_ / "state", "--ready-file", ready});
    pollfd fd{running.child->pidfd(), POLLIN, 0};
    while (!std::filesystem::exists(ready) && poll(&fd, 1, 5) == 0) {
    }
    std::ifstream in(ready);
    EXPECT_TRUE(in) << Output();
    if (in) in >> running.ready;
    return running;
  }

  std::string Output() const {
    std::ifstream in(dir_ / "output");
    return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  }

  // What is on stderr of a coordinator that refuses to start, and its exit code.
  std::pair<int, std::string> Refusal(const std::vector<std::string>& arguments) {
    std::filesystem::remove(dir_ / "output");
    const process::Exit exit = Wait(*Spawn(arguments));
    return {exit.code, Output()};
  }

  TemporaryFolder dir_;
};

TEST_F(Program, SaysWhereItServesAndStopsWhenTold) {
  Running running = Start();
  EXPECT_EQ(running.ready["pid"], running.child->pid());
  auto stub = v1::JobService::NewStub(rpc::OpenChannel(running.ready["grpc"]).value());
  v1::ListJobsResponse response;
  EXPECT_TRUE(stub->ListJobs(TestCoordinator::Context().get(), {}, &response).ok());
  running.child->Signal(SIGTERM);
  EXPECT_EQ(Wait(*running.child), (process::Exit{0, 0})) << Output();
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(PIXELREC_TSAN)  // whose own memory is several times that
TEST_F(Program, IsSmallWhenIdle) {
  Running running = Start();
  EXPECT_LE(process::ResidentBytes(running.child->pid()).value(), 40 << 20);
}
#endif

TEST_F(Program, APortInUseIsOneLine) {
  Running running = Start();
  auto [code, text] =
      Refusal({"--listen", running.ready["grpc"], "--metrics-listen", "127.0.0.1:0", "--state-dir", dir_ / "other"});
  EXPECT_EQ(code, 6);
  EXPECT_THAT(text, ::testing::MatchesRegex("error: [^\n]*in use[^\n]*\n"));
  auto [metrics_code, metrics_text] =
      Refusal({"--listen", "127.0.0.1:0", "--metrics-listen", running.ready["metrics"], "--state-dir", dir_ / "other"});
  EXPECT_EQ(metrics_code, 6);
  EXPECT_THAT(metrics_text, ::testing::MatchesRegex("error: [^\n]*\n"));
}

TEST_F(Program, AStateDirectoryHasOneCoordinator) {
  Running running = Start();
  auto [code, text] = Refusal({"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--state-dir", dir_ / "state"});
  EXPECT_EQ(code, 6);
  EXPECT_THAT(text, ::testing::MatchesRegex("error: another coordinator uses the state directory[^\n]*\n"));
}

TEST_F(Program, AStateDirectoryThatCannotBeWrittenIsNamed) {
  std::ofstream(dir_ / "file") << "x";
  auto [code, text] =
      Refusal({"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--state-dir", dir_ / "file" / "state"});
  EXPECT_NE(code, 0);
  EXPECT_THAT(text, ::testing::MatchesRegex("error: [^\n]*file/state[^\n]*\n"));
}

TEST_F(Program, RefusesWhatIsNotSafe) {
  auto [code, text] = Refusal({"--listen", "0.0.0.0:0", "--metrics-listen", "127.0.0.1:0", "--state-dir", dir_ / "state"});
  EXPECT_EQ(code, 4);
  EXPECT_THAT(text, ::testing::HasSubstr("roots"));
  std::ofstream(dir_ / "c.yaml") << "roots: [/data]\n";
  auto [plain_code, plain_text] = Refusal(
      {"--config", dir_ / "c.yaml", "--listen", "0.0.0.0:0", "--metrics-listen", "127.0.0.1:0", "--state-dir", dir_ / "state"});
  EXPECT_EQ(plain_code, 4);
  EXPECT_THAT(plain_text, ::testing::HasSubstr("plaintext"));
}

TEST_F(Program, RefusesAuthenticationThatCannotBe) {
  const std::vector<std::string> common = {"--listen",    "127.0.0.1:0", "--metrics-listen",
                                           "127.0.0.1:0", "--state-dir", dir_ / "state"};
  const auto refusal = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), common.begin(), common.end());
    return Refusal(arguments);
  };
  const TestCa ca;
  const auto files = ca.Issue(dir_.path(), "server", {.server = true}), other = ca.Issue(dir_.path(), "other", {.server = true});
  const auto expired = ca.Issue(dir_.path(), "expired", {.server = true, .begins = -absl::Hours(2), .ends = -absl::Hours(1)});
  const auto expect = [](const std::pair<int, std::string>& refused, const std::string& text) {
    EXPECT_NE(refused.first, 0);
    EXPECT_THAT(refused.second, ::testing::MatchesRegex("error: [^\n]*\n"));
    EXPECT_THAT(refused.second, ::testing::HasSubstr(text));
  };
  expect(refusal({"--tls-cert", "/nowhere/cert", "--tls-key", files.key}), "/nowhere/cert");
  expect(refusal({"--tls-cert", files.cert}), "tls_cert without tls_key");
  expect(refusal({"--tls-cert", files.cert, "--tls-key", other.key}), "is not the private key of the certificate");
  expect(refusal({"--tls-cert", expired.cert, "--tls-key", expired.key}), "expired on");
  expect(refusal({"--tls-client-ca", files.cert}), "need tls_cert");
  expect(refusal({"--token-file", "/nowhere/tokens"}), "/nowhere/tokens");
  expect(refusal({"--token-file", dir_.Write("tokens", "admin\n")}), "tokens:1: must be ROLE NAME SHA256");
}

TEST_F(Program, ServesTlsWhereOthersReachItOnlyIfItKnowsWhoCalls) {
  const TestCa ca;
  const auto files = ca.Issue(dir_.path(), "server", {.server = true});
  std::ofstream(dir_ / "c.yaml") << "roots: [/data]\ntls_cert: server.pem\ntls_key: server.key\n";
  const std::vector<std::string> arguments = {"--config",    dir_ / "c.yaml", "--listen",     "0.0.0.0:0",    "--metrics-listen",
                                              "127.0.0.1:0", "--state-dir",   dir_ / "state", "--ready-file", dir_ / "ready"};
  auto [code, text] = Refusal(arguments);
  EXPECT_EQ(code, 4);
  EXPECT_THAT(text, ::testing::HasSubstr("without token_file or tls_client_ca"));

  std::ofstream(dir_ / "c.yaml", std::ios::app) << "token_file: tokens\nhealth_listen: 0.0.0.0:0\n";
  const std::string token = rpc::NewToken().value();
  dir_.Write("tokens", "viewer vera " + rpc::HashToken(token) + "\n");
  Running running;
  running.child = Spawn(arguments);
  pollfd fd{running.child->pidfd(), POLLIN, 0};
  while (!std::filesystem::exists(dir_ / "ready") && poll(&fd, 1, 5) == 0) {
  }
  std::ifstream in(dir_ / "ready");
  ASSERT_TRUE(in) << Output();
  in >> running.ready;
  const auto on_loopback = [&](const char* name) {
    const std::string address = running.ready[name];
    return "127.0.0.1" + address.substr(address.rfind(':'));
  };
  const config::ClientSecurity vera{.tls_ca = dir_.Write("ca.pem", ca.pem()), .token_file = dir_.Write("token", token)};
  v1::ListJobsResponse response;
  EXPECT_TRUE(v1::JobService::NewStub(rpc::OpenChannel(on_loopback("grpc"), vera).value())
                  ->ListJobs(TestCoordinator::Context().get(), {}, &response)
                  .ok());
  EXPECT_EQ(v1::JobService::NewStub(rpc::OpenChannel(on_loopback("grpc"), {.tls_ca = vera.tls_ca}).value())
                ->ListJobs(TestCoordinator::Context().get(), {}, &response)
                .error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(rpc::ProbeHealth(*rpc::OpenChannel(on_loopback("health")).value(), rpc::kReadiness), rpc::Health::kServing);
  EXPECT_TRUE(std::filesystem::exists(dir_ / "state" / "audit.log"));
}

TEST_F(Program, BadFlagsAndFilesAreOneLine) {
  auto [code, text] = Refusal({"--no-such-flag"});
  EXPECT_EQ(code, 2);
  EXPECT_THAT(text, ::testing::MatchesRegex("error: [^\n]*\n"));
  std::ofstream(dir_ / "bad.yaml") << "listn: 127.0.0.1:1\n";
  auto [file_code, file_text] = Refusal({"--config", dir_ / "bad.yaml"});
  EXPECT_EQ(file_code, 4);
  EXPECT_THAT(file_text, ::testing::HasSubstr("bad.yaml:1:1"));
  EXPECT_EQ(Refusal({"--version"}), (std::pair<int, std::string>(0, "0.1.0\n")));
}

TEST_F(Program, ADamagedJournalStopsItWithAHint) {
  Start().child->Signal(SIGKILL);
  std::ofstream(dir_ / "state" / "journal.db", std::ios::binary) << std::string(10000, 'x');
  std::filesystem::remove(dir_ / "state" / "journal.db-wal");
  auto [code, text] = Refusal({"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--state-dir", dir_ / "state"});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(text, ::testing::HasSubstr("To repair"));
}

TEST_F(Program, KillsLoseNothingThatWasAnswered) {
  std::string address = "127.0.0.1:0";
  std::set<std::string> acked;
  for (int round = 0; round < 3; ++round) {
    Running running = Start(address);
    address = running.ready["grpc"];
    auto stub = v1::JobService::NewStub(rpc::OpenChannel(address).value());
    for (int i = 0; i < 20; ++i) {
      v1::SubmitJobRequest request;
      *request.mutable_spec() = SmallSpec("r" + std::to_string(round) + "n" + std::to_string(i), 1);
      v1::SubmitJobResponse response;
      ASSERT_TRUE(stub->SubmitJob(TestCoordinator::Context().get(), request, &response).ok());
      acked.insert(response.job().job_id());
    }
    running.child->Signal(SIGKILL);
    Wait(*running.child);
  }
  Running running = Start(address);
  auto stub = v1::JobService::NewStub(rpc::OpenChannel(address).value());
  v1::ListJobsResponse response;
  ASSERT_TRUE(stub->ListJobs(TestCoordinator::Context().get(), {}, &response).ok());
  std::set<std::string> stored;
  for (const v1::Job& job : response.jobs()) stored.insert(job.job_id());
  EXPECT_EQ(stored, acked);
}

}  // namespace
}  // namespace pixelrec::coordinator
