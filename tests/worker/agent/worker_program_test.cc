// The program pixelrec-worker as users and supervisors see it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/process/child.h"
#include "common/process/memory.h"
#include "common/storage/atomic_file.h"
#include "tests/common/temporary_folder.h"
#include "tests/worker/agent/fake_coordinator.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class WorkerProgramTest : public testing::Test {
 protected:
  void TearDown() override { worker_.reset(); }

  void Start(std::vector<std::string> extra) {
    std::vector<std::string> arguments{"--work-dir",          (dir_ / "work").string(),
                                       "--dataset-cache-dir", (dir_ / "cache").string(),
                                       "--metrics-listen",    "127.0.0.1:0",
                                       "--trainer",           FAKE_TRAINER,
                                       "--worker-id",         "w1",
                                       "--ready-file",        (dir_ / "ready").string()};
    arguments.insert(arguments.end(), extra.begin(), extra.end());
    std::vector<std::string> environment = process::AllowedEnvironment({"PATH", "*SAN_OPTIONS", "ASAN_OPTIONS", "TSAN_OPTIONS"});
    environment.insert(environment.end(), extra_environment_.begin(), extra_environment_.end());
    auto child = process::Child::Spawn({.program = PIXELREC_BIN_DIR "/pixelrec-worker",
                                        .arguments = arguments,
                                        .environment = environment,
                                        .output = dir_ / "stderr"});
    ASSERT_TRUE(child.ok()) << child.status();
    worker_ = *std::move(child);
  }
  process::Exit AwaitExit() {
    pollfd wait{worker_->pidfd(), POLLIN, 0};
    EXPECT_EQ(poll(&wait, 1, 20'000), 1);
    return worker_->Reap().value_or(process::Exit{-2, 0});
  }
  std::string Stderr() { return storage::ReadFile(dir_ / "stderr").value_or(""); }
  // Of a program that must refuse to start: its exit code; its one line is in Stderr().
  int Refusal(std::vector<std::string> extra) {
    fs::remove(dir_ / "stderr");
    Start(std::move(extra));
    const process::Exit exit = AwaitExit();
    const std::string text = Stderr();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    EXPECT_THAT(text, testing::StartsWith("error: "));
    return exit.code;
  }
  v1::SessionResponse StartRank(const std::string& script) {
    v1::SessionResponse response;
    response.mutable_start_rank()->set_job_id("job-1");
    response.mutable_start_rank()->set_generation(1);
    v1::TrainerPlan& plan = *response.mutable_start_rank()->mutable_plan();
    plan.set_role(v1::TRAINER_ROLE_TRAIN);
    (*plan.mutable_spec()->mutable_labels())["script"] = script;
    return response;
  }

  const TemporaryFolder folder_;
  const fs::path dir_ = folder_.path();
  std::vector<std::string> extra_environment_;
  std::unique_ptr<process::Child> worker_;
};

TEST_F(WorkerProgramTest, SaysThatItIsReadyAndStopsCleanlyOnSigterm) {
  FakeCoordinator coordinator;
  Start({"--coordinator", coordinator.address()});
  EXPECT_EQ(coordinator.AwaitRegistration().register_().pid(), worker_->pid());
  coordinator.AwaitBeats(1);
  const auto ready = nlohmann::json::parse(storage::ReadFile(dir_ / "ready").value_or("null"));
  EXPECT_EQ(ready["pid"], worker_->pid());
  EXPECT_THAT(std::string(ready["metrics"]), HasSubstr("127.0.0.1:"));
  coordinator.Send(StartRank("hello;await_stop;exit 0"));
  coordinator.AwaitReport([](const v1::RankReport& report) { return report.trainer().has_hello(); });
  const double resident = double(*process::ResidentBytes(worker_->pid())) / (1 << 20);
  std::printf("worker resident with a trainer: %.1f MiB\n", resident);
#if !defined(__SANITIZE_ADDRESS__) && !defined(PIXELREC_TSAN)  // whose own memory is several times that
  EXPECT_LE(resident, 40);
#endif
  worker_->Signal(SIGTERM);
  EXPECT_EQ(AwaitExit(), (process::Exit{0, 0}));
  EXPECT_EQ(coordinator.AwaitReport([](const v1::RankReport& report) { return report.has_exited(); }).exited().exit_code(), 0);
}

TEST_F(WorkerProgramTest, KillingTheWorkerTakesItsTrainerWithIt) {
  FakeCoordinator coordinator;
  Start({"--coordinator", coordinator.address()});
  coordinator.Send(StartRank("hello;ignore_stop"));
  const int64_t pid =
      coordinator.AwaitReport([](const v1::RankReport& report) { return report.trainer().has_hello(); }).trainer().hello().pid();
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0));
  ASSERT_GE(pidfd, 0);
  const auto begin = std::chrono::steady_clock::now();
  worker_->Signal(SIGKILL);
  pollfd wait{pidfd, POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 20'000), 1) << "the trainer outlived its worker";
  std::printf("worker's death to its trainer's: %.1f ms\n",
              std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  close(pidfd);
}

TEST_F(WorkerProgramTest, IsReadyWithoutACoordinatorAndReadsItsFile) {
  std::ofstream(dir_ / "worker.yaml") << "coordinator: 127.0.0.1:1\n";
  Start({"--config", (dir_ / "worker.yaml").string()});
  while (!fs::exists(dir_ / "ready")) {
    pollfd wait{worker_->pidfd(), POLLIN, 0};
    ASSERT_EQ(poll(&wait, 1, 5), 0) << Stderr();
  }
  EXPECT_THAT(Stderr(), HasSubstr("can't register at the coordinator at 127.0.0.1:1"));
  worker_->Signal(SIGTERM);
  EXPECT_EQ(AwaitExit(), (process::Exit{0, 0}));
}

// Nor do a worker's secrets, nor what would make a program load or run something of its caller's.
TEST_F(WorkerProgramTest, ATrainerSeesOfTheEnvironmentOnlyWhatItNeeds) {
  extra_environment_ = {"PIXELREC_TOKEN_FILE=/secret",
                        "AWS_SECRET_ACCESS_KEY=secret",
                        "BASH_ENV=/secret",
                        "PYTHONPATH=/secret",
                        "SSH_AUTH_SOCK=/secret",
                        "LANG=C.UTF-8",
                        "OMP_NUM_THREADS=1"};
  FakeCoordinator coordinator;
  Start({"--coordinator", coordinator.address()});
  coordinator.Send(StartRank("hello;await_stop;exit 0"));
  const int64_t pid =
      coordinator.AwaitReport([](const v1::RankReport& report) { return report.trainer().has_hello(); }).trainer().hello().pid();
  const std::string seen = storage::ReadFile(absl::StrCat("/proc/", pid, "/environ")).value_or("");
  const std::vector<std::string> variables = absl::StrSplit(seen, '\0', absl::SkipEmpty());
  EXPECT_THAT(variables, testing::IsSupersetOf({"LANG=C.UTF-8", "OMP_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES="}));
  EXPECT_THAT(seen, testing::Not(HasSubstr("secret")));
  worker_->Signal(SIGTERM);
  EXPECT_EQ(AwaitExit(), (process::Exit{0, 0}));
}

TEST_F(WorkerProgramTest, RefusesInOneLine) {
  EXPECT_EQ(Refusal({"--bogus"}), 2);
  EXPECT_EQ(Refusal({"--threads", "many"}), 2);
  EXPECT_EQ(Refusal({"--config", "/nowhere/worker.yaml"}), 4);
  EXPECT_THAT(Stderr(), HasSubstr("/nowhere/worker.yaml"));
  std::ofstream(dir_ / "bad.yaml") << "coordinater: x\n";
  EXPECT_EQ(Refusal({"--config", (dir_ / "bad.yaml").string()}), 4);
  EXPECT_THAT(Stderr(), HasSubstr("bad.yaml:1:1"));
  EXPECT_EQ(Refusal({"--work-dir", "/proc/work"}), 1);
  EXPECT_THAT(Stderr(), HasSubstr("/proc/work"));
  EXPECT_EQ(Refusal({"--trainer", "/nowhere/trainer"}), 1);
  EXPECT_THAT(Stderr(), HasSubstr("/nowhere/trainer"));
  EXPECT_EQ(Refusal({"--coordinator", "nonsense"}), 4);
  EXPECT_EQ(Refusal({"--worker-id", "../w"}), 4);
  EXPECT_EQ(Refusal({"--coordinator", "10.0.0.1:7070"}), 4);
  EXPECT_THAT(Stderr(), HasSubstr("--insecure"));
  EXPECT_EQ(Refusal({"--token-file", "/nowhere/token"}), 1);
  EXPECT_THAT(Stderr(), HasSubstr("/nowhere/token"));
  EXPECT_EQ(Refusal({"--tls-ca", "/nowhere/ca"}), 1);
  EXPECT_THAT(Stderr(), HasSubstr("/nowhere/ca"));
  EXPECT_EQ(Refusal({"--tls-cert", "/nowhere/cert"}), 4);
  EXPECT_THAT(Stderr(), HasSubstr("tls_ca"));
}

TEST_F(WorkerProgramTest, APortInUseIsSaid) {
  FakeCoordinator holder;
  EXPECT_EQ(Refusal({"--metrics-listen", holder.address()}), 6);
  EXPECT_THAT(Stderr(), HasSubstr(holder.address()));
}

}  // namespace
}  // namespace pixelrec::agent
