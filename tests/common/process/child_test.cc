#include "common/process/child.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/process/memory.h"
#include "common/process/parent.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::process {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int kPatience = 20'000;  // ms; only reached when something is broken

bool Readable(int fd) {
  pollfd wait{fd, POLLIN, 0};
  return poll(&wait, 1, kPatience) == 1;
}

Exit ExitOf(std::vector<std::string> arguments) {
  auto child = Child::Spawn({.program = CHILD_PROGRAM, .arguments = std::move(arguments)});
  EXPECT_TRUE(child.ok()) << child.status();
  EXPECT_TRUE(Readable((*child)->pidfd()));
  return (*child)->Reap().value_or(Exit{-2, 0});
}

TEST(ChildTest, ExitCodesAndSignalsAreTold) {
  EXPECT_EQ(ExitOf({"exit", "0"}), (Exit{0, 0}));
  EXPECT_EQ(ExitOf({"exit", "42"}), (Exit{42, 0}));
  EXPECT_EQ(ExitOf({"signal", "9"}), (Exit{-1, SIGKILL}));
  EXPECT_EQ(ExitOf({"signal", "15"}), (Exit{-1, SIGTERM}));
}

TEST(ChildTest, GetsItsArgumentsEnvironmentDescriptorsAndNothingElse) {
  // An open descriptor without close-on-exec and a blocked signal must not leak into the child.
  const int leak = open("/dev/null", O_RDONLY);
  ASSERT_GT(fcntl(leak, F_DUPFD, 50), 0);
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const std::string output = absl::StrCat(testing::TempDir(), "/child_output_", getpid());
  unlink(output.c_str());
  auto child = Child::Spawn({.program = CHILD_PROGRAM,
                             .arguments = {"print", "a b", "$(id)"},
                             .environment = {"ONLY=this"},
                             .inherited_fds = {pair[1]},
                             .output = output});
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(child.ok()) << child.status();
  ASSERT_TRUE(Readable((*child)->pidfd()));
  EXPECT_EQ((*child)->Reap(), (Exit{0, 0}));
  const std::string text = *storage::ReadFile(output);
  EXPECT_THAT(
      text, HasSubstr("argument a b\nargument $(id)\nenvironment ONLY=this\nfd 0\nfd 1\nfd 2\nfd 3\ngroup own\nSIGTERM open\n"));
  EXPECT_THAT(text, HasSubstr("to stderr\n"));
  for (int fd : {leak, pair[0], pair[1]}) close(fd);
}

TEST(ChildTest, InheritedDescriptorMayHaveItsNumberAlready) {
  storage::UniqueFd occupied(fcntl(kInheritedFd, F_GETFD) < 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  ASSERT_GT(pair[0], kInheritedFd);
  storage::UniqueFd ours(pair[0]), theirs(pair[1]), saved(fcntl(kInheritedFd, F_DUPFD_CLOEXEC, 100));
  ASSERT_EQ(dup3(theirs.get(), kInheritedFd, O_CLOEXEC), kInheritedFd);
  auto child = Child::Spawn({.program = CHILD_PROGRAM, .arguments = {"wait"}, .inherited_fds = {kInheritedFd}});
  ASSERT_EQ(dup3(saved.get(), kInheritedFd, O_CLOEXEC), kInheritedFd);
  ASSERT_TRUE(child.ok());
  ours.reset();
  theirs.reset();
  ASSERT_TRUE(Readable((*child)->pidfd()));
  EXPECT_EQ((*child)->Reap(), (Exit{7, 0}));  // it saw the end of its socket
}

TEST(ChildTest, ReapNeverBlocksAndDestructionKills) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  auto child = Child::Spawn({.program = CHILD_PROGRAM, .arguments = {"wait"}, .inherited_fds = {pair[1]}});
  ASSERT_TRUE(child.ok());
  close(pair[1]);
  EXPECT_FALSE((*child)->Reap().has_value());
  EXPECT_GT(*ResidentBytes((*child)->pid()), 0);
  child->reset();
  char byte;
  EXPECT_EQ(read(pair[0], &byte, 1), 0);  // its end is closed: it is dead
  close(pair[0]);
}

TEST(ChildTest, IsStoppedUntilItGoesOn) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  auto child = Child::Spawn({.program = CHILD_PROGRAM, .arguments = {"wait"}, .inherited_fds = {pair[1]}});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_FALSE((*child)->IsStopped());
  (*child)->Signal(SIGSTOP);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>((*child)->pid()), &info, WSTOPPED | WNOWAIT), 0);
  EXPECT_TRUE((*child)->IsStopped());
  EXPECT_TRUE((*child)->IsStopped());
  EXPECT_EQ((*child)->Reap(), std::nullopt);
  (*child)->Signal(SIGCONT);
  EXPECT_FALSE((*child)->IsStopped());
  (*child)->Signal(SIGSTOP);
  (*child)->Signal(SIGKILL);
  EXPECT_TRUE(Readable((*child)->pidfd()));
  EXPECT_EQ((*child)->Reap(), (Exit{-1, SIGKILL}));
  EXPECT_FALSE((*child)->IsStopped());
  close(pair[0]);
  close(pair[1]);
}

TEST(ChildTest, MissingProgramAndUnwritableOutputAreNamed) {
  auto missing = Child::Spawn({.program = "/nowhere/trainer", .arguments = {}});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.status().ToString(), HasSubstr("/nowhere/trainer"));
  auto unwritable = Child::Spawn({.program = CHILD_PROGRAM, .arguments = {}, .output = "/nowhere/log"});
  EXPECT_EQ(unwritable.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(unwritable.status().ToString(), HasSubstr("/nowhere/log"));
}

TEST(ParentTest, ChildDiesWithItsParent) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  auto middle = Child::Spawn({.program = CHILD_PROGRAM, .arguments = {"middle"}, .inherited_fds = {pair[1]}});
  ASSERT_TRUE(middle.ok());
  close(pair[1]);
  pid_t leaf = 0;
  ASSERT_EQ(read(pair[0], &leaf, sizeof(leaf)), static_cast<ssize_t>(sizeof(leaf)));
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, leaf, 0));
  ASSERT_GE(pidfd, 0);
  (*middle)->Signal(SIGKILL);
  EXPECT_TRUE(Readable(pidfd)) << "the grandchild outlived its parent";
  close(pidfd);
  close(pair[0]);
}

TEST(ParentTest, ChildOfAnAlreadyDeadParentKillsItself) { EXPECT_EQ(ExitOf({"orphan"}), (Exit{-1, SIGKILL})); }

TEST(ParentTest, PeerOfSomethingElseIsUnavailable) {
  const int fd = open("/dev/null", O_RDONLY);
  EXPECT_EQ(PeerPid(fd).status().code(), absl::StatusCode::kUnavailable);
  close(fd);
}

TEST(EnvironmentTest, OnlyAllowedNamesPass) {
  setenv("PROCESS_TEST_A", "1", 1);
  setenv("PROCESS_TEST_B", "2", 1);
  setenv("PROCESS_SECRET", "3", 1);
  EXPECT_THAT(AllowedEnvironment({"PROCESS_TEST_*"}), testing::UnorderedElementsAre("PROCESS_TEST_A=1", "PROCESS_TEST_B=2"));
  EXPECT_THAT(AllowedEnvironment({"PROCESS_TEST_A", "PROCESS"}), testing::ElementsAre("PROCESS_TEST_A=1"));
}

TEST(MemoryTest, KnowsItself) {
  EXPECT_GT(*ResidentBytes(0), 1 << 20);
  EXPECT_EQ(ResidentBytes(999'999'999).status().code(), absl::StatusCode::kNotFound);
  EXPECT_GT(HostMemoryBytes(), 1 << 20);
}

}  // namespace
}  // namespace pixelrec::process
