// Who may do what to whose job, over a real server that knows its callers by tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "common/rpc/tls/server_credentials.h"
#include "common/storage/atomic_file.h"
#include "tests/common/rpc/test_certificates.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/fake_worker.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

using testing::HasSubstr;
using testing::Not;

class AccessTest : public testing::Test {
 protected:
  AccessTest() {
    for (const char* who : {"submitter alice", "submitter bob", "viewer vera", "admin root", "worker gpu-*"}) AddToken(who);
    WriteTokens();
    authenticator_ = rpc::Authenticator::Create({.token_file = dir_ / "tokens"}).value();
    audit_ = AuditLog::Open({.file = dir_ / "audit.log"}).value();
    Start();
  }
  void AddToken(const std::string& role_and_name) {
    const std::string token = rpc::NewToken().value();
    const std::string name = role_and_name.substr(role_and_name.find(' ') + 1);
    secrets_.push_back(token);
    dir_.Write(name + ".token", token);
    lines_[name] = absl::StrCat(role_and_name, " ", rpc::HashToken(token), "\n");
  }
  void WriteTokens() {
    std::string text;
    for (const auto& [name, line] : lines_) absl::StrAppend(&text, line);
    ASSERT_TRUE(storage::WriteFileAtomically(dir_ / "tokens", text).ok());
  }
  void Revoke(const std::string& name) {
    lines_.erase(name);
    WriteTokens();
  }
  void Start() {
    coordinator_.reset();
    TestCoordinator::Options options;
    options.authenticator = authenticator_.get();
    options.audit = audit_.get();
    coordinator_ = std::make_unique<TestCoordinator>(dir_.path(), options);
  }

  config::ClientSecurity As(const std::string& name) const { return {.token_file = dir_ / (name + ".token")}; }
  std::unique_ptr<v1::JobService::Stub> Stub(const std::string& name) {
    return v1::JobService::NewStub(rpc::OpenChannel(coordinator_->address(), As(name)).value());
  }
  absl::StatusOr<v1::Job> Submit(const std::string& who, const v1::JobSpec& spec, const std::string& request_id = "") {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    v1::SubmitJobResponse response;
    const grpc::Status status = Stub(who)->SubmitJob(TestCoordinator::Context().get(), request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    return response.job();
  }
  template <typename Request, typename Response>
  absl::Status Ask(const std::string& who, const std::string& job,
                   grpc::Status (v1::JobService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const std::string& request_id = "") {
    Request request;
    request.set_job(job);
    if constexpr (requires { request.set_request_id(request_id); }) request.set_request_id(request_id);
    Response response;
    return rpc::FromGrpc((Stub(who).get()->*method)(TestCoordinator::Context().get(), request, &response));
  }
  absl::Status Cancel(const std::string& who, const std::string& job) { return Ask(who, job, &v1::JobService::Stub::CancelJob); }
  absl::Status Pause(const std::string& who, const std::string& job) { return Ask(who, job, &v1::JobService::Stub::PauseJob); }
  absl::Status Resume(const std::string& who, const std::string& job) { return Ask(who, job, &v1::JobService::Stub::ResumeJob); }
  absl::Status Delete(const std::string& who, const std::string& job, const std::string& request_id = "") {
    return Ask(who, job, &v1::JobService::Stub::DeleteJob, request_id);
  }
  v1::Job Get(const std::string& job) {
    v1::GetJobRequest request;
    request.set_job(job);
    v1::GetJobResponse response;
    EXPECT_TRUE(Stub("vera")->GetJob(TestCoordinator::Context().get(), request, &response).ok());
    return response.job();
  }
  std::vector<nlohmann::json> Audit() const {
    std::vector<nlohmann::json> lines;
    for (absl::string_view line : absl::StrSplit(storage::ReadFile(dir_ / "audit.log").value(), '\n', absl::SkipEmpty())) {
      lines.push_back(nlohmann::json::parse(line));
    }
    return lines;
  }

  TemporaryFolder dir_;
  std::vector<std::string> secrets_;
  std::map<std::string, std::string> lines_;
  std::unique_ptr<rpc::Authenticator> authenticator_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<TestCoordinator> coordinator_;
};

TEST_F(AccessTest, AJobRemembersWhoSubmittedIt) {
  const auto job = Submit("alice", SmallSpec("a", 1));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->owner(), "alice");
  Start();
  EXPECT_EQ(Get(job->job_id()).owner(), "alice");
  EXPECT_EQ(rpc::ReasonOf(Cancel("bob", job->job_id())), rpc::kJobOfAnother) << "also after a restart";
}

TEST_F(AccessTest, OnlyTheOwnerAndAdminsChangeAJob) {
  const std::string job = Submit("alice", SmallSpec("a", 1))->job_id();
  const absl::Status denied = Cancel("bob", job);
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(rpc::ReasonOf(denied), rpc::kJobOfAnother);
  EXPECT_EQ(denied.message(), absl::StrCat("job ", job, " belongs to alice, not to bob: ask its owner or an admin"));
  EXPECT_EQ(rpc::ReasonOf(Pause("bob", job)), rpc::kJobOfAnother);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_PENDING);
  EXPECT_TRUE(Pause("alice", job).ok());
  EXPECT_EQ(rpc::ReasonOf(Resume("bob", job)), rpc::kJobOfAnother);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_PAUSED);
  EXPECT_TRUE(Resume("root", job).ok());
  EXPECT_TRUE(Cancel("alice", job).ok());
  EXPECT_EQ(rpc::ReasonOf(Delete("bob", job)), rpc::kJobOfAnother);
  EXPECT_EQ(rpc::ReasonOf(Delete("vera", job)), rpc::kRoleTooLow);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_CANCELLED);
  EXPECT_TRUE(Delete("root", job).ok());
}

TEST_F(AccessTest, ARequestIdIsItsSendersOwn) {
  const auto first = Submit("alice", SmallSpec("a", 1), "r1");
  EXPECT_EQ(Submit("alice", SmallSpec("a", 1), "r1")->job_id(), first->job_id());
  EXPECT_EQ(Submit("bob", SmallSpec("a", 1), "r1").status().code(), absl::StatusCode::kFailedPrecondition)
      << "another's job must not come back; its output_dir is in use";
  const auto of_bob = Submit("bob", SmallSpec("b", 1), "r1");
  ASSERT_TRUE(of_bob.ok()) << of_bob.status();
  EXPECT_NE(of_bob->job_id(), first->job_id());
  EXPECT_EQ(of_bob->owner(), "bob");
  EXPECT_NE(Submit("root", SmallSpec("c", 1), "r1")->job_id(), first->job_id()) << "also of an admin";
  Start();
  EXPECT_EQ(Submit("alice", SmallSpec("a", 1), "r1")->job_id(), first->job_id());
  EXPECT_EQ(Submit("bob", SmallSpec("b", 1), "r1")->job_id(), of_bob->job_id());
}

TEST_F(AccessTest, ADeletionsRequestIdIsItsSendersOwn) {
  const std::string job = Submit("alice", SmallSpec("a", 1))->job_id();
  ASSERT_TRUE(Cancel("alice", job).ok());
  ASSERT_TRUE(Delete("alice", job, "d1").ok());
  EXPECT_TRUE(Delete("alice", job, "d1").ok()) << "a repeat";
  EXPECT_EQ(Delete("bob", job, "d1").code(), absl::StatusCode::kNotFound);
}

TEST_F(AccessTest, NobodyReplacesTheResultsOfAnother) {
  const std::string job = Submit("alice", SmallSpec("a", 1))->job_id();
  ASSERT_TRUE(Cancel("alice", job).ok());
  v1::JobSpec spec = SmallSpec("a", 1);
  for (v1::OutputPolicy policy : {v1::OUTPUT_POLICY_REPLACE, v1::OUTPUT_POLICY_RESUME}) {
    spec.set_output_policy(policy);
    const absl::Status denied = Submit("bob", spec).status();
    EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(rpc::ReasonOf(denied), rpc::kOutputDirOfAnother);
  }
  EXPECT_TRUE(Submit("alice", spec).ok());
}

TEST_F(AccessTest, AWorkerRegistersUnderItsOwnId) {
  FakeWorker good("gpu-1", 1);
  good.Dial(coordinator_->address(), {}, As("gpu-*"));
  EXPECT_TRUE(good.Read().has_registered());
  FakeWorker bad("cpu-1", 1);
  bad.Dial(coordinator_->address(), {}, As("gpu-*"));
  const absl::Status denied = rpc::FromGrpc(bad.End());
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(rpc::ReasonOf(denied), rpc::kWorkerIdOfAnother);
  for (const char* other : {"alice", "vera"}) {
    FakeWorker impostor("gpu-2", 1);
    impostor.Dial(coordinator_->address(), {}, As(other));
    EXPECT_EQ(rpc::ReasonOf(rpc::FromGrpc(impostor.End())), rpc::kRoleTooLow) << other;
  }
}

TEST_F(AccessTest, ARevokedTokenEndsAWorkersSession) {
  FakeWorker worker("gpu-1", 1);
  worker.Dial(coordinator_->address(), {}, As("gpu-*"));
  ASSERT_TRUE(worker.Read().has_registered());
  worker.Beat(1);
  ASSERT_TRUE(worker.Read().has_beat_ack());
  Revoke("gpu-*");
  worker.Beat(2);
  EXPECT_EQ(rpc::ReasonOf(rpc::FromGrpc(worker.End())), rpc::kTokenUnknown);
}

TEST_F(AccessTest, ARevokedTokenEndsAWatch) {
  const std::string job = Submit("alice", SmallSpec("a", 1))->job_id();
  v1::WatchJobRequest request;
  request.set_job(job);
  auto context = TestCoordinator::Context();
  const auto stub = Stub("vera");
  const auto stream = stub->WatchJob(context.get(), request);
  v1::WatchJobResponse message;
  ASSERT_TRUE(stream->Read(&message));
  Revoke("vera");
  EXPECT_TRUE(Pause("alice", job).ok());
  EXPECT_FALSE(stream->Read(&message)) << message.ShortDebugString();
  EXPECT_EQ(rpc::ReasonOf(rpc::FromGrpc(stream->Finish())), rpc::kTokenUnknown);
}

TEST_F(AccessTest, AWatchByNobodyIsRefused) {
  v1::WatchJobRequest request;
  request.set_job("a");
  auto context = TestCoordinator::Context();
  const auto stream = coordinator_->stub().WatchJob(context.get(), request);
  v1::WatchJobResponse message;
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_EQ(rpc::ReasonOf(rpc::FromGrpc(stream->Finish())), rpc::kCredentialsMissing);
}

TEST_F(AccessTest, EveryChangeAndEveryRefusalHasItsLine) {
  const std::string job = Submit("alice", SmallSpec("a", 1), "r1")->job_id();
  ASSERT_FALSE(Cancel("bob", "a").ok());
  ASSERT_FALSE(Cancel("vera", "a").ok());
  v1::ListJobsResponse jobs;
  ASSERT_TRUE(Stub("vera")->ListJobs(TestCoordinator::Context().get(), {}, &jobs).ok()) << "a reading that is let in has no line";
  ASSERT_FALSE(coordinator_->stub().ListJobs(TestCoordinator::Context().get(), {}, &jobs).ok());
  FakeWorker worker("gpu-1", 1);
  worker.Dial(coordinator_->address(), {}, As("gpu-*"));
  ASSERT_TRUE(worker.Read().has_registered());

  const std::vector<nlohmann::json> lines = Audit();
  ASSERT_EQ(lines.size(), 5u) << nlohmann::json(lines).dump(1);
  const auto expect = [&](size_t i, nlohmann::json wanted) {
    nlohmann::json line = lines[i];
    EXPECT_THAT(line.at("time").get<std::string>(), testing::MatchesRegex("20..-..-..T..:..:..\\.......Z"));
    EXPECT_THAT(line.at("peer").get<std::string>(), testing::StartsWith("ipv4:127.0.0.1:"));
    line.erase("time");
    line.erase("peer");
    EXPECT_EQ(line, wanted);
  };
  expect(0, {{"principal", "alice"},
             {"role", "submitter"},
             {"method", "pixelrec.v1.JobService/SubmitJob"},
             {"job", job},
             {"request_id", "r1"},
             {"outcome", "OK"}});
  expect(1, {{"principal", "bob"},
             {"role", "submitter"},
             {"method", "pixelrec.v1.JobService/CancelJob"},
             {"job", job},
             {"outcome", "PERMISSION_DENIED"},
             {"reason", "JOB_OF_ANOTHER"}});
  expect(2, {{"principal", "vera"},
             {"role", "viewer"},
             {"method", "pixelrec.v1.JobService/CancelJob"},
             {"job", "a"},
             {"outcome", "PERMISSION_DENIED"},
             {"reason", "ROLE_TOO_LOW"}});
  expect(3, {{"method", "pixelrec.v1.JobService/ListJobs"}, {"outcome", "UNAUTHENTICATED"}, {"reason", "CREDENTIALS_MISSING"}});
  expect(4, {{"principal", "gpu-*"},
             {"role", "worker"},
             {"method", "pixelrec.v1.WorkerService/Session"},
             {"worker", "gpu-1"},
             {"outcome", "OK"}});
  for (const std::string& secret : secrets_) {
    EXPECT_THAT(storage::ReadFile(dir_ / "audit.log").value(), Not(HasSubstr(secret)));
    EXPECT_THAT(storage::ReadFile(dir_ / "audit.log").value(), Not(HasSubstr(rpc::HashToken(secret))));
  }
}

// The same by certificates, on TLS.
class CertificateAccessTest : public testing::Test {
 protected:
  CertificateAccessTest() {
    authenticator_ = rpc::Authenticator::Create({}).value();
    const auto server = ca_.Issue(dir_.path(), "server", {.server = true});
    TestCoordinator::Options options;
    options.authenticator = authenticator_.get();
    options.credentials = rpc::ReloadingServerCredentials(
        rpc::TlsSource::Create({.files = {server.cert, server.key, ca_file_}, .now = absl::Now}).value());
    options.client = As("viewer", "vera");
    coordinator_ = std::make_unique<TestCoordinator>(dir_.path(), options);
  }
  config::ClientSecurity As(const std::string& role, const std::string& name) {
    const auto files = ca_.Issue(dir_.path(), role, {.uri = absl::StrCat("pixelrec://", role, "/", name)});
    return {.tls_ca = ca_file_, .tls_cert = files.cert, .tls_key = files.key};
  }
  absl::Status Submit(const config::ClientSecurity& security, v1::Job* job) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec("a", 1);
    v1::SubmitJobResponse response;
    const auto stub = v1::JobService::NewStub(rpc::OpenChannel(coordinator_->address(), security).value());
    const grpc::Status status = stub->SubmitJob(TestCoordinator::Context().get(), request, &response);
    *job = response.job();
    return rpc::FromGrpc(status);
  }

  TemporaryFolder dir_;
  const TestCa ca_;
  const std::filesystem::path ca_file_ = dir_.Write("ca.pem", ca_.pem());
  std::unique_ptr<rpc::Authenticator> authenticator_;
  std::unique_ptr<TestCoordinator> coordinator_;
};

TEST_F(CertificateAccessTest, TheUriSaysWhoAndWhat) {
  v1::Job job;
  const absl::Status status = Submit(As("submitter", "alice"), &job);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(job.owner(), "alice");
  EXPECT_EQ(coordinator_->Get("a").owner(), "alice");
  EXPECT_EQ(rpc::ReasonOf(rpc::FromGrpc(coordinator_->Cancel("a", false))), rpc::kRoleTooLow);
  EXPECT_EQ(rpc::ReasonOf(Submit({.tls_ca = ca_file_}, &job)), rpc::kCredentialsMissing);
}

TEST_F(CertificateAccessTest, AWorkersCertificateIsForItsId) {
  const config::ClientSecurity security = As("worker", "gpu-1");
  FakeWorker good("gpu-1", 1), bad("gpu-2", 1);
  good.Dial(coordinator_->address(), {}, security);
  EXPECT_TRUE(good.Read().has_registered());
  bad.Dial(coordinator_->address(), {}, security);
  EXPECT_EQ(rpc::ReasonOf(rpc::FromGrpc(bad.End())), rpc::kWorkerIdOfAnother);
}

}  // namespace
}  // namespace pixelrec::coordinator
