#include "ctl/render/follow_view.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ctl/client/job_state.h"
#include "ctl/render/event_text.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

bool IsTraining(const v1::Progress& progress) { return progress.section() == "train" || progress.section().empty(); }

// Loss and speed; empty before the first step.
std::string TrainingFigures(const v1::Progress& progress) {
  if (progress.step() == 0) return "";
  return absl::StrCat("loss ", Fixed(progress.loss(), 4), "  lr ", absl::StrFormat("%.1e", progress.learning_rate()), "  ",
                      GroupDigits(std::llround(progress.tokens_per_second())), " tokens/s  ETA ",
                      SecondsText(progress.eta_seconds()));
}

// Where an event is one of many that only concern debugging.
std::string Stamped(const v1::JobEvent& event, absl::TimeZone zone) {
  return absl::StrCat(ClockText(TimeOf(event.time()), zone), "  ", EventText(event));
}

const char* ConnectionText(bool lost) {
  return lost ? "the coordinator is gone; the job trains on, looking for it again" : "the coordinator is back";
}

class PlainView : public FollowView {
 public:
  explicit PlainView(Options options) : options_(std::move(options)) {}

  void Show(const v1::JobEvent& event, const v1::Job&) override {
    if (event.body_case() != v1::JobEvent::kProgress) {
      Line(Stamped(event, options_.zone));
      return;
    }
    const v1::Progress& progress = event.progress();
    const absl::Time time = TimeOf(event.time());
    const bool new_section = progress.section() != section_;
    if (!new_section && time - last_progress_ < options_.progress_every) return;
    const std::string line = ProgressLine(progress);
    if (line == last_line_) return;
    section_ = progress.section();
    last_progress_ = time;
    last_line_ = line;
    Line(absl::StrCat(ClockText(time, options_.zone), "  ", line));
  }
  void ShowConnection(bool lost) override { Line(ConnectionText(lost)); }
  void Finish() override {}

 private:
  void Line(const std::string& text) { *options_.out << text << "\n" << std::flush; }

  const Options options_;
  absl::Time last_progress_ = absl::InfinitePast();
  std::string section_;
  std::string last_line_;
};

class TerminalView : public FollowView {
 public:
  explicit TerminalView(Options options) : options_(std::move(options)) {}

  void Show(const v1::JobEvent& event, const v1::Job& job) override {
    std::string above;
    if (event.body_case() == v1::JobEvent::kProgress) {
      progress_ = event.progress();
    } else {
      above = absl::StrCat(Stamped(event, options_.zone), "\n");
      if (event.body_case() == v1::JobEvent::kStateChange) {
        state_ = event.state_change().to();
        // What an earlier generation was doing says nothing about the next one.
        if (state_ != v1::JOB_STATE_RUNNING && state_ != v1::JOB_STATE_PREPARING) progress_.Clear();
      }
    }
    if (state_ == v1::JOB_STATE_UNSPECIFIED) state_ = job.state();
    Redraw(above);
  }
  void ShowConnection(bool lost) override { Redraw(absl::StrCat(ConnectionText(lost), "\n")); }
  void Finish() override {
    *options_.out << Erase() << std::flush;
    drawn_lines_ = 0;
  }

 private:
  static constexpr int kBarColumns = 30;

  std::string Erase() const {
    if (drawn_lines_ == 0) return "";
    return absl::StrCat("\x1b[", drawn_lines_, "A\r\x1b[J");
  }

  std::vector<std::string> Lines() const {
    if (HasEnded(state_) || !(progress_.epochs() > 0 || !progress_.section().empty())) return {};
    const auto bar = [](const std::string& name, double share, const std::string& text) {
      return absl::StrFormat("%-9s%s %4s%s", name, Bar(share, kBarColumns), Percent(share), text.empty() ? "" : "  " + text);
    };
    std::vector<std::string> lines;
    if (!IsTraining(progress_)) lines.push_back(bar(progress_.section(), progress_.section_fraction(), ""));
    if (progress_.total_steps() > 0 && progress_.epochs() > 0) {
      const double share = static_cast<double>(progress_.step()) / static_cast<double>(progress_.total_steps());
      const double epochs_done = share * progress_.epochs();
      lines.push_back(bar("epochs", share, absl::StrCat("epoch ", progress_.epoch(), "/", progress_.epochs())));
      lines.push_back(
          bar("steps", EpochShare(epochs_done), absl::StrCat("step ", progress_.step(), "/", progress_.total_steps())));
      lines.push_back(absl::StrCat("         ", TrainingFigures(progress_)));
    }
    return lines;
  }

  // Share of the current epoch; whole right at its end.
  double EpochShare(double epochs_done) const { return std::clamp(epochs_done - (progress_.epoch() - 1), 0.0, 1.0); }

  void Redraw(const std::string& above) {
    std::string text = absl::StrCat(Erase(), above);
    drawn_lines_ = 0;
    for (std::string line : Lines()) {
      line = OneLine(std::move(line));
      // A line that wraps would be erased only in part.
      if (static_cast<int>(line.size()) >= options_.columns) line.resize(static_cast<size_t>(options_.columns - 1));
      absl::StrAppend(&text, line, "\n");
      ++drawn_lines_;
    }
    *options_.out << text << std::flush;
  }

  const Options options_;
  v1::Progress progress_;
  v1::JobState state_ = v1::JOB_STATE_UNSPECIFIED;
  int drawn_lines_ = 0;
};

}  // namespace

std::string ProgressLine(const v1::Progress& progress) {
  if (!IsTraining(progress)) return absl::StrCat(OneLine(progress.section()), " ", Percent(progress.section_fraction()));
  const std::string figures = TrainingFigures(progress);
  return absl::StrCat("epoch ", progress.epoch(), "/", progress.epochs(), "  step ", progress.step(), "/", progress.total_steps(),
                      figures.empty() ? "" : "  ", figures);
}

std::string Bar(double share, int width) {
  const double clamped = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
  const int filled = static_cast<int>(std::floor(clamped * width + 1e-9));
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < width) bar += filled > 0 || clamped > 0 ? ">" : " ";
  bar.resize(static_cast<size_t>(width), ' ');
  return absl::StrCat("[", bar, "]");
}

std::unique_ptr<FollowView> FollowView::Create(Options options) {
  if (options.columns > 0) return std::make_unique<TerminalView>(std::move(options));
  return std::make_unique<PlainView>(std::move(options));
}

}  // namespace pixelrec::ctl
