// Spare trainers: when one is started, who may take it, what becomes of those that can't work.
#include "worker/agent/spare_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>

#include "common/storage/atomic_file.h"
#include "tests/common/temporary_folder.h"
#include "tests/worker/agent/agent_fixture.h"

namespace pixelrec::agent {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

class SpareTrainerTest : public testing::Test {
 protected:
  SpareTrainer::Options Options() {
    return {.wanted = true,
            .start = [this] { return TrainerProcess::Start(program_, spare_log_, ""); },
            .log = [this](absl::string_view text) { absl::StrAppend(&said_, text, "\n"); }};
  }
  static void Signal(const SpareTrainer& spare, int signal) {
    ASSERT_EQ(syscall(SYS_pidfd_send_signal, spare.pidfd(), signal, nullptr, 0), 0);
  }
  static void AwaitEnd(int pidfd) {
    pollfd wait{pidfd, POLLIN, 0};
    ASSERT_EQ(poll(&wait, 1, 20'000), 1);
  }

  const TemporaryFolder folder_;
  const std::filesystem::path spare_log_ = folder_.path() / "spare.log", rank_log_ = folder_.path() / "rank.log";
  std::filesystem::path program_ = FAKE_TRAINER;
  std::string said_;
  Time now_{seconds(1000)};
};

TEST_F(SpareTrainerTest, NoneUnlessWanted) {
  SpareTrainer::Options options = Options();
  options.wanted = false;
  SpareTrainer spare(options);
  spare.Tick(now_);
  EXPECT_EQ(spare.pidfd(), -1);
  EXPECT_EQ(spare.NextDue(), std::nullopt);
  EXPECT_EQ(spare.Take(rank_log_, now_), nullptr);
}

TEST_F(SpareTrainerTest, WorksForWhoTakesItAndIsReplacedAfterAPause) {
  SpareTrainer spare(Options());
  spare.Tick(now_);
  EXPECT_EQ(spare.NextDue(), std::nullopt);
  const std::unique_ptr<TrainerProcess> taken = spare.Take(rank_log_, now_);
  ASSERT_NE(taken, nullptr);
  EXPECT_FALSE(std::filesystem::exists(spare_log_));
  v1::TrainerCommand command;
  command.mutable_plan()->set_role(v1::TRAINER_ROLE_TRAIN);
  (*command.mutable_plan()->mutable_spec()->mutable_labels())["script"] = "print last words;exit 3";
  taken->Send(command);
  AwaitEnd(taken->pidfd());
  EXPECT_EQ(taken->Reap(), (process::Exit{3, 0}));
  EXPECT_EQ(storage::ReadFile(rank_log_).value_or(""), "last words\n");

  EXPECT_EQ(spare.Take(rank_log_, now_), nullptr);
  EXPECT_EQ(spare.NextDue(), now_ + seconds(2));
  spare.Tick(now_ + seconds(1));
  EXPECT_EQ(spare.pidfd(), -1);
  spare.Tick(now_ + seconds(2));
  EXPECT_GE(spare.pidfd(), 0);
}

TEST_F(SpareTrainerTest, OnesThatDieAreReplacedLessAndLessOften) {
  SpareTrainer spare(Options());
  for (const int wait : {1, 2, 4}) {
    spare.Tick(now_);
    Signal(spare, SIGKILL);
    AwaitEnd(spare.pidfd());
    spare.OnExited(now_);
    EXPECT_THAT(said_, HasSubstr("the spare trainer ended by signal 9"));
    EXPECT_EQ(spare.NextDue(), now_ + seconds(wait));
    now_ += seconds(wait);
  }
}

TEST_F(SpareTrainerTest, ADeadOrStoppedOneIsNotTaken) {
  SpareTrainer spare(Options());
  spare.Tick(now_);
  Signal(spare, SIGKILL);
  AwaitEnd(spare.pidfd());
  EXPECT_EQ(spare.Take(rank_log_, now_), nullptr);

  spare.Tick(now_ += seconds(2));
  Signal(spare, SIGSTOP);
  siginfo_t info{};
  ASSERT_EQ(waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(spare.pidfd()), &info, WSTOPPED | WNOWAIT), 0);
  EXPECT_EQ(spare.Take(rank_log_, now_), nullptr);
  EXPECT_FALSE(std::filesystem::exists(rank_log_));
}

TEST_F(SpareTrainerTest, AProgramThatCannotBeStartedIsTriedAgain) {
  program_ = folder_.path() / "none";
  SpareTrainer spare(Options());
  spare.Tick(now_);
  EXPECT_THAT(said_, HasSubstr("can't start a spare trainer: "));
  EXPECT_EQ(spare.NextDue(), now_ + seconds(1));
  program_ = FAKE_TRAINER;
  spare.Tick(now_ + seconds(1));
  EXPECT_GE(spare.pidfd(), 0);
}

TEST_F(SpareTrainerTest, NoneIsLeftAtTheEnd) {
  SpareTrainer spare(Options());
  spare.Tick(now_);
  spare.End();
  EXPECT_EQ(spare.pidfd(), -1);
  EXPECT_EQ(spare.NextDue(), std::nullopt);
}

// The whole daemon: what prepares a dataset is started for it, the rank that follows is the spare.
TEST_F(AgentTest, ARankIsGivenTheWarmSpare) {
  FakeCoordinator coordinator;
  Agent::Options options = Options(coordinator);
  options.config.warm_spare = true;
  Start(options);
  v1::SessionResponse prepare = StartRank("", 1);
  prepare.mutable_start_rank()->mutable_plan()->set_role(v1::TRAINER_ROLE_PREPARE);
  coordinator.Send(prepare);
  coordinator.AwaitReport(IsExit);
  EXPECT_THAT(Log(), testing::Not(HasSubstr("warm")));
  coordinator.Send(StartRank("hello;print words;exit 0", 2));
  const v1::RankReport exit = coordinator.AwaitReport(IsExit);
  EXPECT_EQ(exit.exited().stderr_tail(), "words\n");
  EXPECT_THAT(Log(), HasSubstr("(warm)"));
}

}  // namespace
}  // namespace pixelrec::agent
