#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/data/report/render.h"

namespace pixelrec::data {
namespace {

constexpr int kBarColumns = 50;
constexpr size_t kTitleBytes = 60;

std::string RangeOf(const HistogramBin& bin) {
  return bin.low == bin.high ? absl::StrCat(bin.low) : absl::StrCat(bin.low, "-", bin.high);
}

void AppendHistogram(const std::vector<HistogramBin>& bins, std::string& out) {
  int64_t most = 1;
  for (const HistogramBin& bin : bins) most = std::max(most, bin.count);
  for (const HistogramBin& bin : bins) {
    const auto columns = static_cast<size_t>(std::ceil(static_cast<double>(bin.count) * kBarColumns / static_cast<double>(most)));
    absl::StrAppendFormat(&out, "  %12s %11d  %s\n", RangeOf(bin), bin.count, std::string(columns, '#'));
  }
}

void AppendSpread(const Spread& spread, std::string& out) {
  absl::StrAppendFormat(&out, "  mean %.1f, median %d, p90 %d, p99 %d, longest %d\n", spread.mean, spread.p50, spread.p90,
                        spread.p99, spread.max);
}

// Cut between characters.
std::string Shortened(const std::string& text) {
  if (text.size() <= kTitleBytes) return text;
  size_t end = kTitleBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

// Ids and titles come from the CSV files; nothing in them may move the cursor or break the line.
std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  return text;
}

void AppendTexts(const ReportHead& head, const DatasetStatistics& s, std::string& out) {
  absl::StrAppendFormat(&out, "\nTokens of an item's text before it is cut to %d\n", head.max_text_length);
  AppendSpread(s.token_lengths, out);
  AppendHistogram(s.token_histogram, out);
  const double share = head.items > 0 ? 100.0 * static_cast<double>(head.truncated_items) / static_cast<double>(head.items) : 0;
  absl::StrAppendFormat(&out, "  %d items (%.2f %%) are cut\n", head.truncated_items, share);
  absl::StrAppendFormat(&out, "  every text begins with the same %d tokens\n", s.common_prefix);
  out += "\nMissing texts\n";
  for (const auto& [key, items] : s.missing_fields)
    absl::StrAppendFormat(&out, "  %-20s empty for %d items\n", Printable(key), items);
  absl::StrAppendFormat(
      &out, "  rows of the text file: %d; %d replaced an earlier row of their item, %d are of items without interactions\n",
      s.text_rows, s.repeated_text_rows, s.unknown_text_rows);
}

void AppendPopularity(const DatasetStatistics& s, std::string& out) {
  out += "\nPopularity\n";
  for (const auto& [items, interactions] : s.popularity_shares) {
    absl::StrAppendFormat(&out, "  the most popular %5.1f %% of the items have %5.1f %% of the interactions\n", 100 * items,
                          100 * interactions);
  }
  out += "\nItems by occurrences in train parts\n";
  AppendHistogram(s.train_count_classes, out);
  out += "\nMost popular items\n";
  for (const PopularItem& item : s.most_popular) {
    absl::StrAppendFormat(&out, "  %11d  %s  %s\n", item.interactions, Shortened(Printable(item.name)),
                          Shortened(Printable(item.title)));
  }
}

}  // namespace

std::string RenderText(const ReportHead& head, const DatasetStatistics& statistics) {
  std::string out = absl::StrCat("Prepared dataset ", head.data_hash, "\n\n");
  for (const auto& [words, count] : head.counts) absl::StrAppendFormat(&out, "  %-44s %12d\n", words, count);
  out += "\nEvents of a user\n";
  AppendSpread(statistics.history_lengths, out);
  AppendHistogram(statistics.history_histogram, out);
  AppendTexts(head, statistics, out);
  AppendPopularity(statistics, out);
  return out;
}

}  // namespace pixelrec::data
