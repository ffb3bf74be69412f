#include "worker/data/prepare_report.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace pixelrec::data {
namespace {

using nlohmann::ordered_json;

struct Count {
  const char* key;
  const char* words;
  int64_t PrepareReport::*member;
};

constexpr Count kCounts[] = {
    {"users", "users", &PrepareReport::users},
    {"items", "items", &PrepareReport::items},
    {"interactions", "interactions", &PrepareReport::interactions},
    {"samples", "training sequences", &PrepareReport::samples},
    {"tokens", "tokens of all items", &PrepareReport::tokens},
    {"truncated_items", "items whose text is cut", &PrepareReport::truncated_items},
    {"items_without_text", "items without text", &PrepareReport::items_without_text},
    {"short_users", "users with fewer than 3 events, left out", &PrepareReport::short_users},
    {"dropped_chunks", "training sequences of one item, left out", &PrepareReport::dropped_chunks},
    {"duplicate_interactions", "interactions that repeat a pair", &PrepareReport::duplicate_interactions},
};

ordered_json BinsAsJson(const std::vector<HistogramBin>& bins) {
  ordered_json json = ordered_json::array();
  for (const HistogramBin& bin : bins) json.push_back({{"low", bin.low}, {"high", bin.high}, {"count", bin.count}});
  return json;
}

ordered_json SpreadAsJson(const Spread& spread) {
  return {{"mean", spread.mean}, {"p50", spread.p50}, {"p90", spread.p90}, {"p99", spread.p99}, {"max", spread.max}};
}

ordered_json StatisticsAsJson(const DatasetStatistics& s) {
  ordered_json json = {{"token_lengths", SpreadAsJson(s.token_lengths)},
                       {"token_histogram", BinsAsJson(s.token_histogram)},
                       {"common_prefix_tokens", s.common_prefix},
                       {"history_lengths", SpreadAsJson(s.history_lengths)},
                       {"history_histogram", BinsAsJson(s.history_histogram)},
                       {"train_count_classes", BinsAsJson(s.train_count_classes)},
                       {"text_rows", s.text_rows},
                       {"repeated_text_rows", s.repeated_text_rows},
                       {"unknown_text_rows", s.unknown_text_rows},
                       {"missing_fields", ordered_json::object()}};
  for (const auto& [key, items] : s.missing_fields) json["missing_fields"][key] = items;
  for (const auto& [items, interactions] : s.popularity_shares) {
    json["popularity_shares"].push_back({{"items", items}, {"interactions", interactions}});
  }
  for (const auto& [rank, count] : s.popularity_curve)
    json["popularity_curve"].push_back({{"rank", rank}, {"interactions", count}});
  for (const PopularItem& item : s.most_popular) {
    json["most_popular"].push_back({{"item", item.name}, {"title", item.title}, {"interactions", item.interactions}});
  }
  return json;
}

}  // namespace

std::string FormatReport(const PrepareReport& report, const DatasetStatistics& statistics) {
  ordered_json json = {{"data_hash", report.data_hash}};
  for (const Count& count : kCounts) json[count.key] = report.*count.member;
  json["seconds"] = report.seconds;
  json["statistics"] = StatisticsAsJson(statistics);
  return json.dump(2) + "\n";
}

ReportHead HeadOf(const PrepareReport& report, int max_text_length) {
  ReportHead head{.data_hash = report.data_hash,
                  .max_text_length = max_text_length,
                  .items = report.items,
                  .tokens = report.tokens,
                  .truncated_items = report.truncated_items};
  for (const Count& count : kCounts) head.counts.emplace_back(count.words, report.*count.member);
  return head;
}

absl::StatusOr<PrepareReport> ParseReport(absl::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  auto damaged = [](absl::string_view key) { return absl::DataLossError(absl::StrCat("no usable \"", key, "\"")); };
  if (!json.is_object() || !json.contains("data_hash") || !json["data_hash"].is_string()) return damaged("data_hash");
  PrepareReport report;
  report.data_hash = json["data_hash"].get<std::string>();
  for (const Count& count : kCounts) {
    const auto it = json.find(count.key);
    if (it == json.end() || !it->is_number_integer()) return damaged(count.key);
    report.*count.member = it->get<int64_t>();
  }
  if (!json.contains("statistics")) return damaged("statistics");  // made before there were any
  const auto seconds = json.find("seconds");
  if (seconds == json.end() || !seconds->is_number()) return damaged("seconds");
  report.seconds = seconds->get<double>();
  return report;
}

}  // namespace pixelrec::data
