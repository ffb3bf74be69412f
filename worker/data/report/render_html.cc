#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "worker/data/report/render.h"

namespace pixelrec::data {
namespace {

constexpr double kWidth = 720, kHeight = 220, kLeft = 64, kRight = 12, kTop = 12, kBottom = 36;
constexpr double kPlotWidth = kWidth - kLeft - kRight, kPlotHeight = kHeight - kTop - kBottom;

constexpr char kStyle[] = R"(<style>
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:760px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0}
td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:currentColor}
.bar{fill:#4477aa}.cut{stroke:#cc3311;stroke-dasharray:4 3}.axis{stroke:currentColor;opacity:.4}.curve{fill:none;stroke:#4477aa;stroke-width:2}
</style>
)";

std::string Escaped(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::string OpenSvg(absl::string_view label) {
  return absl::StrFormat(
      "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">\n"
      "<line class=\"axis\" x1=\"%g\" y1=\"%g\" x2=\"%g\" y2=\"%g\"/><line class=\"axis\" x1=\"%g\" y1=\"%g\" x2=\"%g\" "
      "y2=\"%g\"/>\n",
      kWidth, kHeight, label, kLeft, kTop, kLeft, kTop + kPlotHeight, kLeft, kTop + kPlotHeight, kWidth - kRight,
      kTop + kPlotHeight);
}

void Label(double x, double y, absl::string_view anchor, absl::string_view text, std::string& out) {
  absl::StrAppendFormat(&out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, text);
}

// `limit`: a line before the first bin above it; 0: none.
std::string Bars(const std::vector<HistogramBin>& bins, absl::string_view label, absl::string_view axis, int64_t limit) {
  std::string out = OpenSvg(label);
  int64_t most = 1;
  for (const HistogramBin& bin : bins) most = std::max(most, bin.count);
  const double step = kPlotWidth / std::max<double>(1, static_cast<double>(bins.size()));
  const size_t every = bins.size() / 10 + 1;
  bool limited = limit <= 0;
  for (size_t i = 0; i < bins.size(); ++i) {
    const HistogramBin& bin = bins[i];
    const double height = kPlotHeight * static_cast<double>(bin.count) / static_cast<double>(most);
    const double x = kLeft + step * static_cast<double>(i);
    absl::StrAppendFormat(
        &out, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%d-%d: %d</title></rect>\n", x + 1,
        kTop + kPlotHeight - height, std::max(1.0, step - 2), height, bin.low, bin.high, bin.count);
    if (i % every == 0) Label(x + step / 2, kTop + kPlotHeight + 14, "middle", absl::StrCat(bin.low), out);
    if (!limited && bin.high > limit) {
      const double at =
          x + step * static_cast<double>(std::max<int64_t>(0, limit + 1 - bin.low)) / static_cast<double>(bin.high - bin.low + 1);
      absl::StrAppendFormat(&out, "<line class=\"cut\" x1=\"%.1f\" y1=\"%g\" x2=\"%.1f\" y2=\"%g\"/>\n", at, kTop, at,
                            kTop + kPlotHeight);
      limited = true;
    }
  }
  Label(kLeft - 6, kTop + 10, "end", absl::StrCat(most), out);
  Label(kLeft - 6, kTop + kPlotHeight, "end", "0", out);
  Label(kLeft + kPlotWidth / 2, kHeight - 4, "middle", axis, out);
  return out + "</svg>\n";
}

// Both axes logarithmic; an item without interactions lies on the floor.
std::string PopularityCurve(const std::vector<std::pair<int64_t, int64_t>>& curve) {
  std::string out = OpenSvg("Interactions by popularity rank");
  if (curve.empty()) return out + "</svg>\n";
  const double ranks = std::max(std::log(static_cast<double>(curve.back().first)), 1e-9);
  const double counts = std::max(std::log(1.0 + static_cast<double>(curve.front().second)), 1e-9);
  std::string points;
  for (const auto& [rank, count] : curve) {
    absl::StrAppendFormat(&points, "%.1f,%.1f ", kLeft + kPlotWidth * std::log(static_cast<double>(rank)) / ranks,
                          kTop + kPlotHeight * (1 - std::log(1.0 + static_cast<double>(count)) / counts));
  }
  absl::StrAppend(&out, "<polyline class=\"curve\" points=\"", points, "\"/>\n");
  Label(kLeft - 6, kTop + 10, "end", absl::StrCat(curve.front().second), out);
  Label(kLeft - 6, kTop + kPlotHeight, "end", "0", out);
  Label(kLeft, kTop + kPlotHeight + 14, "middle", "1", out);
  Label(kWidth - kRight, kTop + kPlotHeight + 14, "end", absl::StrCat(curve.back().first), out);
  Label(kLeft + kPlotWidth / 2, kHeight - 4, "middle", "popularity rank (both axes logarithmic)", out);
  return out + "</svg>\n";
}

void Row(absl::string_view words, const std::string& value, std::string& out) {
  absl::StrAppend(&out, "<tr><td>", Escaped(words), "</td><td class=\"n\">", value, "</td></tr>\n");
}

std::string SpreadLine(const Spread& spread) {
  return absl::StrFormat("<p>mean %.1f, median %d, p90 %d, p99 %d, longest %d</p>\n", spread.mean, spread.p50, spread.p90,
                         spread.p99, spread.max);
}

std::string TextsSection(const ReportHead& head, const DatasetStatistics& s) {
  std::string out = absl::StrCat(
      "<h2>Tokens of an item's text, before it is cut to ", head.max_text_length, "</h2>\n", SpreadLine(s.token_lengths),
      Bars(s.token_histogram, "Histogram of text lengths", "tokens; dashed: max_text_length", head.max_text_length));
  const double share = head.items > 0 ? 100.0 * static_cast<double>(head.truncated_items) / static_cast<double>(head.items) : 0;
  absl::StrAppendFormat(
      &out, "<p>%d items (%.2f %%) are cut. Every text begins with the same %d tokens.</p>\n<h2>Missing texts</h2>\n<table>\n",
      head.truncated_items, share, s.common_prefix);
  for (const auto& [key, items] : s.missing_fields) Row(absl::StrCat("items without ", key), absl::StrCat(items), out);
  Row("rows of the text file", absl::StrCat(s.text_rows), out);
  Row("rows that replaced an earlier row of their item", absl::StrCat(s.repeated_text_rows), out);
  Row("rows of items without interactions", absl::StrCat(s.unknown_text_rows), out);
  return out + "</table>\n";
}

std::string PopularitySection(const DatasetStatistics& s) {
  std::string out = absl::StrCat("<h2>Popularity</h2>\n", PopularityCurve(s.popularity_curve), "<table>\n");
  for (const auto& [items, interactions] : s.popularity_shares) {
    Row(absl::StrFormat("interactions of the most popular %g %% of the items", 100 * items),
        absl::StrFormat("%.1f %%", 100 * interactions), out);
  }
  for (const HistogramBin& bin : s.train_count_classes) {
    const std::string range = bin.low == bin.high ? absl::StrCat(bin.low)
                              : bin.low == 21     ? "21 and more"
                                                  : absl::StrCat(bin.low, "-", bin.high);
    Row(absl::StrCat("items that occur ", range, " times in train parts"), absl::StrCat(bin.count), out);
  }
  out += "</table>\n<h2>Most popular items</h2>\n<table>\n<tr><th>item</th><th>title</th><th>interactions</th></tr>\n";
  for (const PopularItem& item : s.most_popular) {
    absl::StrAppend(&out, "<tr><td>", Escaped(item.name), "</td><td>", Escaped(item.title), "</td><td class=\"n\">",
                    item.interactions, "</td></tr>\n");
  }
  return out + "</table>\n";
}

}  // namespace

std::string RenderHtml(const ReportHead& head, const DatasetStatistics& statistics) {
  std::string out = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Prepared dataset ", Escaped(head.data_hash), "</title>\n",
      kStyle, "</head>\n<body>\n<h1>Prepared dataset</h1>\n<p><code>", Escaped(head.data_hash), "</code></p>\n<table>\n");
  for (const auto& [words, count] : head.counts) Row(words, absl::StrCat(count), out);
  absl::StrAppend(&out, "</table>\n<h2>Events of a user</h2>\n", SpreadLine(statistics.history_lengths),
                  Bars(statistics.history_histogram, "Histogram of history lengths", "events, bins doubling", 0),
                  TextsSection(head, statistics), PopularitySection(statistics), "</body>\n</html>\n");
  return out;
}

}  // namespace pixelrec::data
