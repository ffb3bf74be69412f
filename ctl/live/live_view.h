// `watch` on a terminal: the whole screen, drawn anew when there is news, when its size changes, and each second.
//
// Threads: Show and ShowConnection from one; a thread of its own draws and reads the keys.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "ctl/live/terminal.h"
#include "ctl/render/follow_view.h"
#include "ctl/render/watch_screen.h"

namespace pixelrec::ctl {

class LiveView : public FollowView {
 public:
  struct Options {
    std::unique_ptr<Terminal> terminal;
    absl::TimeZone zone;
    std::function<void()> on_quit;  // the user wants to leave; called on the view's thread, and then no more
  };

  explicit LiveView(Options options);
  ~LiveView() override;

  // What the job did before; call it first.
  void Recall(const v1::MetricPoint& point);
  void Show(const v1::JobEvent& event, const v1::Job& job) override;
  void ShowConnection(bool lost) override;
  // Gives the terminal back.
  void Finish() override;

 private:
  void Run();
  void Draw();

  const Options options_;
  const bool utf8_;
  const bool colour_;

  absl::Mutex mu_;
  WatchState state_ ABSL_GUARDED_BY(mu_);
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::string> shown_;  // of the thread
  std::thread thread_;
};

// The environment says that the terminal takes UTF-8.
bool TerminalIsUtf8();

}  // namespace pixelrec::ctl
