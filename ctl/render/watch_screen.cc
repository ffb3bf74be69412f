#include "ctl/render/watch_screen.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ctl/client/job_state.h"
#include "ctl/render/checkpoint_text.h"
#include "ctl/render/event_text.h"
#include "ctl/render/follow_view.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

constexpr size_t kKeptEvents = 100;
constexpr int kMostCurve = 8;     // lines
constexpr size_t kMostRanks = 3;  // lines

enum class Style { kPlain, kBold, kDim, kGreen, kYellow, kRed };

struct Line {
  std::string text;
  Style style = Style::kPlain;
};
using Lines = std::vector<Line>;

const char* CodeOf(Style style) {
  switch (style) {
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kGreen:
      return "\x1b[1;32m";
    case Style::kYellow:
      return "\x1b[33m";
    case Style::kRed:
      return "\x1b[31m";
    default:
      return "";
  }
}

// The first `width` characters of UTF-8 text.
std::string Clip(const std::string& text, int width) {
  size_t at = 0;
  for (int left = width; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
    if (begins && left-- == 0) break;
  }
  return text.substr(0, at);
}

// As many parts on a line as fit.
Lines Pack(const std::vector<std::string>& parts, const std::string& indent, int columns, size_t most) {
  Lines lines;
  for (const std::string& part : parts) {
    const bool fits = !lines.empty() && static_cast<int>(DisplayWidth(lines.back().text) + 2 + DisplayWidth(part)) <= columns;
    if (fits) {
      absl::StrAppend(&lines.back().text, "  ", part);
    } else if (lines.size() < most) {
      lines.push_back({absl::StrCat(indent, part)});
    } else {
      lines.back().text = Clip(lines.back().text, std::max(0, columns - 4)) + " ...";
      break;
    }
  }
  return lines;
}

Style StyleOf(v1::JobState state) {
  switch (state) {
    case v1::JOB_STATE_RUNNING:
    case v1::JOB_STATE_SUCCEEDED:
      return Style::kGreen;
    case v1::JOB_STATE_RECOVERING:
    case v1::JOB_STATE_PAUSED:
      return Style::kYellow;
    case v1::JOB_STATE_FAILED:
    case v1::JOB_STATE_CANCELLED:
      return Style::kRed;
    default:
      return Style::kBold;
  }
}

Style StyleOf(const v1::JobEvent& event) {
  if (event.has_failure()) return Style::kRed;
  return event.notice().severity() == v1::NOTICE_SEVERITY_WARNING ? Style::kYellow : Style::kPlain;
}

class Screen {
 public:
  Screen(const WatchState& state, const ScreenOptions& options) : s_(state), o_(options) {}

  std::vector<std::string> Draw() {
    Lines top = Header();
    Append(top, Progress());
    Lines bottom = Placement();
    const Line last = Footer();
    const int left = o_.rows - static_cast<int>(top.size() + bottom.size()) - 1;
    // Of what is left half is for the curve, half for events; below a few lines there is no use in either.
    const int curve = std::min(kMostCurve, (left - 2) / 2);
    const Lines drawn = curve >= 2 ? Curve(curve) : Lines();
    if (!drawn.empty()) {
      top.push_back({});
      Append(top, drawn);
      top.push_back({});
    }
    Append(top, bottom);
    Append(top, Events(o_.rows - static_cast<int>(top.size()) - 1));
    top.resize(static_cast<size_t>(std::max(0, o_.rows - 1)));
    top.push_back(last);
    return Finished(top);
  }

 private:
  static void Append(Lines& to, const Lines& more) { to.insert(to.end(), more.begin(), more.end()); }

  Lines Header() const {
    const v1::Job& job = s_.job;
    std::string title = absl::StrCat(job.job_id(), "  ", StateName(job.state()));
    if (job.generation() > 0) absl::StrAppend(&title, "  generation ", job.generation());
    if (!job.ranks().empty()) absl::StrAppend(&title, "  ", job.ranks_size(), job.ranks_size() == 1 ? " rank" : " ranks");
    const std::string clock = ClockText(o_.now, o_.zone);
    const int gap = o_.columns - static_cast<int>(DisplayWidth(title) + clock.size());
    if (gap >= 2) title += std::string(static_cast<size_t>(gap), ' ') + clock;
    Lines lines = {{title, StyleOf(job.state())}};
    lines.push_back({OneLine(job.reason())});
    return lines;
  }

  Line BarLine(const std::string& name, double share, const std::string& text) const {
    const int width = std::clamp(o_.columns - 46, 8, 60);
    return {absl::StrFormat("%-10s%s %4s%s", Clip(name, 10), Bar(share, width), Percent(share), text.empty() ? "" : "  " + text)};
  }

  Lines Progress() const {
    const v1::Progress& p = s_.progress;
    if (HasEnded(s_.job.state()) || (p.epochs() == 0 && p.section().empty())) return {};
    Lines lines;
    const bool trains = p.section() == "train" || p.section().empty();
    if (!trains) lines.push_back(BarLine(OneLine(p.section()), p.section_fraction(), ""));
    if (p.total_steps() == 0 || p.epochs() == 0) return lines;
    const double share = static_cast<double>(p.step()) / static_cast<double>(p.total_steps());
    lines.push_back(BarLine("epochs", share, absl::StrCat("epoch ", p.epoch(), "/", p.epochs())));
    if (trains)
      lines.push_back(BarLine("steps", std::clamp(share * p.epochs() - (p.epoch() - 1), 0.0, 1.0),
                              absl::StrCat("step ", p.step(), "/", p.total_steps())));
    if (p.step() == 0) return lines;
    const std::vector<std::string> figures = {
        absl::StrCat("loss ", Fixed(p.loss(), 4)),
        absl::StrFormat("lr %.1e", p.learning_rate()),
        absl::StrCat("grad norm ", Fixed(p.grad_norm(), 3)),
        absl::StrCat(GroupDigits(std::llround(std::isfinite(p.tokens_per_second()) ? p.tokens_per_second() : 0)), " tokens/s"),
        absl::StrCat(Fixed(p.samples_per_second(), 1), " samples/s"),
        absl::StrCat(Fixed(p.step_seconds(), 3), " s/step"),
        absl::StrCat("ETA ", SecondsText(p.eta_seconds())),
        absl::StrCat(BytesText(p.resident_bytes()), " resident")};
    Append(lines, Pack({figures.begin(), figures.end() - (p.resident_bytes() > 0 ? 0 : 1)}, "", o_.columns, 4));
    return lines;
  }

  Lines Curve(int height) const {
    Lines lines;
    for (std::string& line : DrawCurve(s_.losses.points(), o_.columns, height, o_.utf8)) lines.push_back({std::move(line)});
    return lines;
  }

  // Who works where, and what there is to go on from.
  Lines Placement() const {
    std::vector<std::string> ranks;
    for (const v1::RankPlacement& rank : s_.job.ranks())
      ranks.push_back(
          absl::StrCat(rank.rank(), " ", OneLine(rank.worker_id()), rank.pid() == 0 ? " -" : absl::StrCat(" pid ", rank.pid())));
    Lines lines = HasEnded(s_.job.state()) ? Lines() : Pack(ranks, "", o_.columns - 11, kMostRanks);
    for (size_t i = 0; i < lines.size(); ++i) lines[i].text = (i == 0 ? "ranks      " : "           ") + lines[i].text;
    if (s_.saved.has_artifact()) {
      const v1::Artifact& artifact = s_.saved.artifact();
      const double ago = absl::ToDoubleSeconds(o_.now - TimeOf(s_.saved.time()));
      lines.push_back({absl::StrCat("checkpoint step ", artifact.step(), ", ", ArtifactKindText(artifact.kind()), ", ",
                                    BytesText(artifact.bytes()), ", ", SecondsText(std::max(0.0, std::floor(ago))), " ago")});
    } else if (s_.job.has_checkpoint()) {
      lines.push_back({absl::StrCat("checkpoint step ", s_.job.checkpoint().step())});
    }
    if (!s_.best.path().empty()) {
      lines.push_back(
          {absl::StrCat("best model epoch ", s_.best.epoch(), ", validation loss ", Fixed(s_.best.validation_loss(), 4))});
    }
    return lines;
  }

  Lines Events(int most) const {
    Lines lines;
    const size_t room = static_cast<size_t>(std::max(0, most - 1));
    if (room == 0 || s_.events.empty()) return lines;
    lines.push_back({});
    const size_t shown = std::min(room, s_.events.size());
    for (auto it = s_.events.end() - static_cast<int64_t>(shown); it != s_.events.end(); ++it)
      lines.push_back({absl::StrCat(ClockText(TimeOf(it->time()), o_.zone), "  ", EventText(*it)), StyleOf(*it)});
    return lines;
  }

  Line Footer() const {
    if (s_.lost) return {"the coordinator is gone; the job trains on, looking for it again (q detaches)", Style::kYellow};
    return {"q detaches; the job goes on", Style::kDim};
  }

  std::vector<std::string> Finished(const Lines& lines) const {
    std::vector<std::string> screen;
    for (const Line& line : lines) {
      std::string text = Clip(OneLine(line.text), o_.columns);
      text.erase(text.find_last_not_of(' ') + 1);
      const std::string code = o_.colour && !text.empty() ? CodeOf(line.style) : "";
      screen.push_back(code.empty() ? text : absl::StrCat(code, text, "\x1b[0m"));
    }
    return screen;
  }

  const WatchState& s_;
  const ScreenOptions& o_;
};

}  // namespace

void WatchState::Take(const v1::JobEvent& event, const v1::Job& newest) {
  job = newest;
  if (job.best_model().step() > best.step()) best = job.best_model();
  if (event.has_progress()) {
    progress = event.progress();
    if (progress.step() > 0 && progress.section() == "train") losses.Add(progress.step(), progress.loss());
    return;
  }
  if (event.has_state_change()) {
    const v1::JobState state = event.state_change().to();
    // What an earlier generation was doing says nothing about the next one.
    if (state != v1::JOB_STATE_RUNNING && state != v1::JOB_STATE_PREPARING) progress.Clear();
  }
  if (event.has_artifact()) {
    const bool model = event.artifact().kind() == v1::ARTIFACT_KIND_BEST_MODEL;
    if (model) best = event.artifact();
    if (!model) saved = event;
  }
  events.push_back(event);
  if (events.size() > kKeptEvents) events.pop_front();
}

void WatchState::Take(const v1::MetricPoint& point) {
  if (point.has_training()) losses.Add(point.step(), point.training().loss());
}

std::vector<std::string> WatchScreen(const WatchState& state, const ScreenOptions& options) {
  return Screen(state, options).Draw();
}

}  // namespace pixelrec::ctl
