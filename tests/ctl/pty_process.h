// A program on a terminal of its own: what a user at a keyboard would see and do.
//
// Threads: one. Every wait has a deadline and fails the test when it passes.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace pixelrec::ctl {

class PtyProcess {
 public:
  PtyProcess(const std::string& program, std::vector<std::string> arguments, std::vector<std::string> environment, int columns,
             int rows) {
    arguments.insert(arguments.begin(), program);
    std::vector<char*> argv, envp;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    for (std::string& variable : environment) envp.push_back(variable.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    winsize size = {};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    int child_end = -1;
    EXPECT_EQ(openpty(&terminal_, &child_end, nullptr, nullptr, &size), 0);
    fcntl(terminal_, F_SETFD, FD_CLOEXEC);
    EXPECT_EQ(tcgetattr(terminal_, &before_), 0);
    pid_ = fork();
    if (pid_ == 0) {
      login_tty(child_end);
      execve(argv[0], argv.data(), envp.data());
      _exit(127);
    }
    close(child_end);
  }
  ~PtyProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(terminal_);
  }
  PtyProcess(const PtyProcess&) = delete;
  PtyProcess& operator=(const PtyProcess&) = delete;

  void Type(absl::string_view keys) { EXPECT_EQ(write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size())); }
  void Signal(int signal) { kill(pid_, signal); }
  void Resize(int columns, int rows) {
    winsize size = {};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    EXPECT_EQ(ioctl(terminal_, TIOCSWINSZ, &size), 0);  // the kernel tells the program
  }

  // Reads until `text` has come behind what an earlier wait found; true if it did.
  bool Await(absl::string_view text) {
    while (true) {
      const size_t found = output_.find(std::string(text), seen_);
      if (found != std::string::npos) {
        seen_ = found + text.size();
        return true;
      }
      if (!Read()) {
        ADD_FAILURE() << "never shown: " << text << "\n" << output_.substr(seen_);
        return false;
      }
    }
  }
  // Reads to the end -> exit code, or 128 + signal.
  int Finish() {
    while (Read()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  // Waits until it is stopped, as by Ctrl-Z.
  void AwaitStopped() {
    int status = 0;
    ASSERT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    ASSERT_TRUE(WIFSTOPPED(status)) << status;
  }

  // Keys are shown and lines are edited, as before the program began.
  bool IsAsBefore() const {
    termios now = {};
    EXPECT_EQ(tcgetattr(terminal_, &now), 0);
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag && now.c_oflag == before_.c_oflag;
  }
  const std::string& output() const { return output_; }

 private:
  bool Read() {
    pollfd fd = {terminal_, POLLIN, 0};
    if (poll(&fd, 1, 30000) != 1) return false;
    char bytes[4096];
    const ssize_t got = read(terminal_, bytes, sizeof(bytes));
    if (got <= 0) return false;  // EIO: nobody has the other end open any more
    output_.append(bytes, static_cast<size_t>(got));
    return true;
  }

  int terminal_ = -1;
  pid_t pid_ = 0;
  termios before_ = {};
  std::string output_;
  size_t seen_ = 0;
};

}  // namespace pixelrec::ctl
