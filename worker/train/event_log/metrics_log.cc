#include "worker/train/event_log/metrics_log.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

namespace pixelrec::train {
namespace {

using Json = nlohmann::ordered_json;

// Bytes up to the first record of a later step than `last_step`, or up to a last line without its end.
int64_t KeptBytes(const std::filesystem::path& path, int64_t last_step) {
  std::ifstream in(path, std::ios::binary);
  int64_t kept = 0;
  for (std::string line; std::getline(in, line) && !in.eof(); kept += static_cast<int64_t>(line.size()) + 1) {
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto step = record.is_object() ? record.find("step") : record.end();
    if (record.is_object() && step != record.end() && step->is_number_integer() && step->get<int64_t>() > last_step) break;
  }
  return kept;
}

Json ToJson(const MetricsRecord::Value& value) {
  return std::visit(
      [](const auto& held) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, double>) {
          if (!std::isfinite(held)) return nullptr;
        }
        return held;
      },
      value);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsLog>> MetricsLog::Open(Options options) {
  auto file = AppendFile::Open(options.path);
  if (!file.ok()) return file.status();
  if (auto status = (*file)->Truncate(KeptBytes(options.path, options.first_step)); !status.ok()) return status;
  return std::unique_ptr<MetricsLog>(new MetricsLog(std::move(options), *std::move(file)));
}

MetricsLog::MetricsLog(Options options, std::unique_ptr<AppendFile> file)
    : options_(std::move(options)), file_(std::move(file)) {}

absl::Status MetricsLog::Append(const MetricsRecord& record) {
  Json line = {{"time", options_.now()},
               {"generation", options_.generation},
               {"section", record.section},
               {"epoch", record.epoch},
               {"step", record.step}};
  for (const auto& [name, value] : record.values) line[name] = ToJson(value);
  return file_->Append(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

absl::Status MetricsLog::Sync() { return file_->Sync(); }

}  // namespace pixelrec::train
