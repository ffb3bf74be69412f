#include "ctl/live/live_view.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"

namespace pixelrec::ctl {
namespace {

// Often enough for the clock and "12 s ago".
constexpr absl::Duration kTick = absl::Seconds(1);
// News that come faster are drawn together: a line over a slow network is not to be filled with frames.
constexpr absl::Duration kFrame = absl::Milliseconds(100);

bool WantsColour() {
  const char* const no_colour = std::getenv("NO_COLOR");
  return no_colour == nullptr || *no_colour == '\0';
}

}  // namespace

bool TerminalIsUtf8() {
  for (const char* const name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string lower = absl::AsciiStrToLower(value);
    return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8");
  }
  return false;
}

LiveView::LiveView(Options options)
    : options_(std::move(options)), utf8_(TerminalIsUtf8()), colour_(WantsColour()), thread_([this] { Run(); }) {}

LiveView::~LiveView() { Finish(); }

void LiveView::Recall(const v1::MetricPoint& point) {
  const absl::MutexLock lock(&mu_);
  state_.Take(point);
}

void LiveView::Show(const v1::JobEvent& event, const v1::Job& job) {
  {
    const absl::MutexLock lock(&mu_);
    state_.Take(event, job);
  }
  options_.terminal->Wake();
}

void LiveView::ShowConnection(bool lost) {
  {
    const absl::MutexLock lock(&mu_);
    state_.lost = lost;
  }
  options_.terminal->Wake();
}

void LiveView::Finish() {
  {
    const absl::MutexLock lock(&mu_);
    finished_ = true;
  }
  options_.terminal->Wake();
  if (thread_.joinable()) thread_.join();
}

void LiveView::Draw() {
  ScreenOptions screen{.columns = options_.terminal->columns(),
                       .rows = options_.terminal->rows(),
                       .now = absl::Now(),
                       .zone = options_.zone,
                       .utf8 = utf8_,
                       .colour = colour_};
  std::vector<std::string> lines;
  {
    const absl::MutexLock lock(&mu_);
    lines = WatchScreen(state_, screen);
  }
  if (lines != shown_) options_.terminal->Show(lines);
  shown_ = std::move(lines);
}

void LiveView::Run() {
  options_.terminal->Enter();
  bool quit = false;
  absl::Time drawn = absl::InfinitePast();
  while (true) {
    {
      const absl::MutexLock lock(&mu_);
      if (finished_) break;
    }
    const absl::Duration since = absl::Now() - drawn;
    if (since >= kFrame) {
      Draw();
      drawn = absl::Now();
    }
    // First whoever has waited for the next frame, then whoever wakes it.
    const Terminal::Input input = since < kFrame ? options_.terminal->Wait(kFrame - since, /*wakes=*/false)
                                                 : options_.terminal->Wait(kTick, /*wakes=*/true);
    if (input == Terminal::Input::kRedraw) {
      shown_.clear();
      drawn = absl::InfinitePast();
    }
    if (input == Terminal::Input::kQuit && !std::exchange(quit, true)) options_.on_quit();
  }
  options_.terminal->Leave();
}

}  // namespace pixelrec::ctl
