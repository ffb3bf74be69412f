// The user's terminal as a whole screen: taken over, drawn on, and given back as it was, whatever ends the program short of
// SIGKILL.
//
// Threads: Install in the main thread before it starts others, so that all of them leave the signals to this; Wake from any; the
// rest from one.
#pragma once

#include <termios.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/process/wakeup.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::ctl {

class Terminal {
 public:
  enum class Input {
    kNone,    // the time is over
    kWoken,   // by Wake
    kRedraw,  // its size has changed, or the program was stopped (Ctrl-Z) and goes on
    kQuit,    // the user pressed q, or the terminal is gone
  };

  // Blocks the signals that a full screen cares about. FAILED_PRECONDITION: standard output is no terminal that can be drawn on.
  static absl::StatusOr<std::unique_ptr<Terminal>> Install();
  ~Terminal();

  // To the other screen and back. Keys are read and not shown between them.
  void Enter();
  void Leave();

  int columns() const;
  int rows() const;
  // Draws over what is there.
  void Show(const std::vector<std::string>& lines);

  // Waits for the user, the size, or Wake, if `wakes`, at most `patience`.
  Input Wait(absl::Duration patience, bool wakes);
  void Wake() { wakeup_.Wake(); }

 private:
  explicit Terminal(storage::UniqueFd signals) : signals_(std::move(signals)) {}
  Input OnSignal();
  Input OnKeys();

  storage::UniqueFd signals_;
  process::Wakeup wakeup_;
  bool entered_ = false;
  bool keys_ = true;  // standard input is a terminal, too
};

}  // namespace pixelrec::ctl
