#include "ctl/live/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::ctl {
namespace {

// The other screen, no cursor, no wrapping of lines that are wider than thought; and the way back.
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J";
constexpr char kLeave[] = "\x1b[?7h\x1b[?25h\x1b[?1049l";

// For whoever ends the process in a hurry: one terminal at a time is taken over.
termios g_before;
std::atomic<bool> g_taken = false, g_keys_taken = false;

void WriteAll(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // it is gone
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// Only calls that are allowed in a signal handler.
void GiveBack() {
  if (g_taken.exchange(false)) WriteAll(absl::string_view(kLeave, sizeof(kLeave) - 1));
  if (g_keys_taken.exchange(false)) tcsetattr(STDIN_FILENO, TCSANOW, &g_before);
}

// A defect of this program must not cost the user the terminal.
void OnCrash(int signal) {
  GiveBack();
  ::signal(signal, SIG_DFL);
  raise(signal);
}

int Size(unsigned short winsize::*what, int otherwise) {
  winsize size = {};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.*what > 0 ? size.*what : otherwise;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Terminal>> Terminal::Install() {
  const char* const kind = std::getenv("TERM");
  if (isatty(STDOUT_FILENO) == 0 || kind == nullptr || strcmp(kind, "dumb") == 0)
    return absl::FailedPreconditionError("standard output is no terminal that can be drawn on");
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGWINCH, SIGTSTP, SIGHUP, SIGQUIT}) sigaddset(&set, signal);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0)
    return storage::ErrnoStatus(error, "can't block signals", "");
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return storage::ErrnoStatus(errno, "can't open a signalfd", "");
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) ::signal(signal, OnCrash);
  std::atexit(GiveBack);
  std::at_quick_exit(GiveBack);
  return std::unique_ptr<Terminal>(new Terminal(storage::UniqueFd(fd)));
}

Terminal::~Terminal() { Leave(); }

void Terminal::Enter() {
  if (std::exchange(entered_, true)) return;
  if (keys_ && tcgetattr(STDIN_FILENO, &g_before) == 0) {
    termios raw = g_before;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // ISIG stays: Ctrl-C and Ctrl-Z are signals
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    g_keys_taken = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  } else {
    keys_ = false;
  }
  g_taken = true;
  WriteAll(absl::string_view(kEnter, sizeof(kEnter) - 1));
}

void Terminal::Leave() {
  if (std::exchange(entered_, false)) GiveBack();
}

int Terminal::columns() const { return Size(&winsize::ws_col, 80); }

int Terminal::rows() const { return Size(&winsize::ws_row, 24); }

void Terminal::Show(const std::vector<std::string>& lines) {
  if (!entered_) return;
  std::string text = "\x1b[H";
  for (size_t i = 0; i < lines.size(); ++i) absl::StrAppend(&text, lines[i], "\x1b[K", i + 1 < lines.size() ? "\r\n" : "");
  WriteAll(absl::StrCat(text, "\x1b[J"));
}

Terminal::Input Terminal::OnSignal() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    if (info.ssi_signo == SIGHUP || info.ssi_signo == SIGQUIT) return Input::kQuit;
    if (info.ssi_signo != SIGTSTP) continue;
    Leave();
    raise(SIGSTOP);
    Enter();
  }
  return Input::kRedraw;
}

Terminal::Input Terminal::OnKeys() {
  char keys[64];
  const ssize_t got = read(STDIN_FILENO, keys, sizeof(keys));
  if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
    keys_ = false;  // no more will come
    return Input::kNone;
  }
  const bool quit = got > 0 && std::any_of(keys, keys + got, [](char key) { return key == 'q' || key == 'Q'; });
  return quit ? Input::kQuit : Input::kNone;
}

Terminal::Input Terminal::Wait(absl::Duration patience, bool wakes) {
  pollfd fds[] = {{signals_.get(), POLLIN, 0}, {keys_ ? STDIN_FILENO : -1, POLLIN, 0}, {wakes ? wakeup_.fd() : -1, POLLIN, 0}};
  const int64_t milliseconds = std::max<int64_t>(0, absl::ToInt64Milliseconds(absl::Ceil(patience, absl::Milliseconds(1))));
  if (poll(fds, 3, static_cast<int>(milliseconds)) <= 0) return Input::kNone;
  if (fds[0].revents != 0) return OnSignal();
  if (fds[1].revents != 0) return OnKeys();
  wakeup_.Clear();
  return Input::kWoken;
}

}  // namespace pixelrec::ctl
