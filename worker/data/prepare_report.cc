#include "worker/data/prepare_report.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace pixelrec::data {
namespace {

struct Count {
  const char* key;
  int64_t PrepareReport::*member;
};

constexpr Count kCounts[] = {
    {"users", &PrepareReport::users},
    {"items", &PrepareReport::items},
    {"interactions", &PrepareReport::interactions},
    {"samples", &PrepareReport::samples},
    {"tokens", &PrepareReport::tokens},
    {"truncated_items", &PrepareReport::truncated_items},
    {"items_without_text", &PrepareReport::items_without_text},
    {"short_users", &PrepareReport::short_users},
    {"dropped_chunks", &PrepareReport::dropped_chunks},
    {"duplicate_interactions", &PrepareReport::duplicate_interactions},
};

}  // namespace

std::string FormatReport(const PrepareReport& report) {
  nlohmann::ordered_json json = {{"data_hash", report.data_hash}};
  for (const Count& count : kCounts) json[count.key] = report.*count.member;
  json["seconds"] = report.seconds;
  return json.dump(2) + "\n";
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
  const auto seconds = json.find("seconds");
  if (seconds == json.end() || !seconds->is_number()) return damaged("seconds");
  report.seconds = seconds->get<double>();
  return report;
}

}  // namespace pixelrec::data
