#include "ctl/render/loss_curve.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pixelrec::ctl {
namespace {

constexpr size_t kMaxPoints = 2048;
constexpr int kLabel = 9;  // "12.3456 |"

// Eighths of a line, from none to all.
constexpr std::array kBlocks = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array kAscii = {" ", ".", ".", ".", ":", ":", ":", "#", "#"};

// Means of the points by column; none: no step fell there.
std::vector<std::optional<double>> Columns(const std::vector<LossCurve::Point>& points, int width) {
  std::vector<double> sums(static_cast<size_t>(width)), counts(static_cast<size_t>(width));
  const auto first = static_cast<double>(points.front().step);
  const double span = std::max(1.0, static_cast<double>(points.back().step) - first);
  for (const LossCurve::Point& point : points) {
    const double share = (static_cast<double>(point.step) - first) / span;
    const auto column = static_cast<size_t>(std::min(width - 1.0, share * width));
    sums[column] += point.loss;
    counts[column] += 1;
  }
  std::vector<std::optional<double>> means;
  std::optional<double> last;
  for (size_t i = 0; i < sums.size(); ++i) {
    // Between two records the loss is what it was.
    if (counts[i] > 0) last = sums[i] / counts[i];
    means.push_back(last);
  }
  return means;
}

std::string Label(double loss) { return absl::StrFormat("%7s |", absl::StrFormat("%.4g", loss)); }

}  // namespace

void LossCurve::Add(int64_t step, double loss) {
  while (!points_.empty() && points_.back().step >= step) points_.pop_back();
  if (!std::isfinite(loss)) return;
  points_.push_back({step, loss});
  if (points_.size() <= kMaxPoints) return;
  // Every second one of all but the newest goes.
  size_t kept = 0;
  for (size_t i = 0; i < points_.size(); ++i) {
    if (i % 2 == 0 || i + 1 == points_.size()) points_[kept++] = points_[i];
  }
  points_.resize(kept);
}

std::vector<std::string> DrawCurve(const std::vector<LossCurve::Point>& points, int width, int height, bool utf8) {
  if (points.size() < 2 || width < kLabel + 8 || height < 2) return {};
  const std::vector<std::optional<double>> columns = Columns(points, width - kLabel);
  double low = INFINITY, high = -INFINITY;
  for (const auto& mean : columns) {
    if (!mean) continue;
    low = std::min(low, *mean);
    high = std::max(high, *mean);
  }
  // The lowest still shows; a flat curve lies in the middle.
  const double range = high - low;
  const auto eighths = [&](double mean) {
    if (range <= 0) return 4 * height;
    return 1 + static_cast<int>(std::lround((mean - low) / range * (8 * height - 1)));
  };
  const auto& blocks = utf8 ? kBlocks : kAscii;
  std::vector<std::string> lines;
  for (int row = height - 1; row >= 0; --row) {
    std::string line = row == height - 1 ? Label(high) : row == 0 ? Label(low) : std::string(kLabel - 1, ' ') + "|";
    for (const auto& mean : columns) line += blocks[static_cast<size_t>(mean ? std::clamp(eighths(*mean) - 8 * row, 0, 8) : 0)];
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace pixelrec::ctl
