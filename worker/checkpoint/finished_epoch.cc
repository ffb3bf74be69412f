#include "worker/checkpoint/finished_epoch.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/json_file.h"

namespace pixelrec::checkpoint {
namespace {

using nlohmann::json;

constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max();
constexpr double kMaxNumber = std::numeric_limits<double>::max();

json NumberOrNull(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

std::optional<double> ReadNumber(JsonFields& fields, const char* name) {
  if (!fields.Has(name)) return std::nullopt;
  return fields.Number(name, -kMaxNumber, kMaxNumber);
}

absl::Status ReadRanking(const json& epoch, const std::string& where, FinishedEpoch& to) {
  const auto list = epoch.find("validation");
  if (list == epoch.end()) return absl::OkStatus();
  if (!list->is_array()) return absl::InvalidArgumentError(absl::StrCat(where, ": validation: must be an array"));
  for (const json& entry : *list) {
    JsonFields fields(entry, absl::StrCat(where, ": validation"));
    if (!fields.status().ok()) return fields.status();
    to.validation.push_back(
        {.k = fields.Int("k", 1, kMaxCount), .recall = fields.Number("recall", 0, 1), .ndcg = fields.Number("ndcg", 0, 1)});
    if (!fields.status().ok()) return fields.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<FinishedEpoch> EpochFromJson(const json& document, const std::string& where) {
  JsonFields fields(document, where);
  if (!fields.status().ok()) return fields.status();
  FinishedEpoch epoch{.epoch = fields.Int("epoch", 1, std::numeric_limits<int32_t>::max()),
                      .step = fields.Int("step", 0, kMaxCount),
                      .train_loss = ReadNumber(fields, "train_loss"),
                      .validation_loss = ReadNumber(fields, "validation_loss"),
                      .best = fields.Bool("best"),
                      .seconds = fields.Number("seconds", 0, kMaxNumber),
                      .validation = {},
                      .users = fields.Int("users", 0, kMaxCount),
                      .masked_targets = fields.Int("masked_targets", 0, kMaxCount),
                      .tied_targets = fields.Int("tied_targets", 0, kMaxCount)};
  if (!fields.status().ok()) return fields.status();
  if (auto status = ReadRanking(document, where, epoch); !status.ok()) return status;
  return epoch;
}

}  // namespace

json EpochsToJson(const std::vector<FinishedEpoch>& epochs) {
  json list = json::array();
  for (const FinishedEpoch& epoch : epochs) {
    json ranking = json::array();
    for (const FinishedEpoch::At& at : epoch.validation)
      ranking.push_back({{"k", at.k}, {"recall", at.recall}, {"ndcg", at.ndcg}});
    list.push_back({{"epoch", epoch.epoch},
                    {"step", epoch.step},
                    {"train_loss", NumberOrNull(epoch.train_loss)},
                    {"validation_loss", NumberOrNull(epoch.validation_loss)},
                    {"best", epoch.best},
                    {"seconds", epoch.seconds},
                    {"validation", std::move(ranking)},
                    {"users", epoch.users},
                    {"masked_targets", epoch.masked_targets},
                    {"tied_targets", epoch.tied_targets}});
  }
  return list;
}

absl::StatusOr<std::vector<FinishedEpoch>> EpochsFromJson(const json& document, absl::string_view file_name) {
  std::vector<FinishedEpoch> epochs;
  const auto list = document.find("epochs");
  if (list == document.end()) return epochs;
  if (!list->is_array()) return absl::InvalidArgumentError(absl::StrCat(file_name, ": epochs: must be an array"));
  for (const json& entry : *list) {
    auto epoch = EpochFromJson(entry, absl::StrCat(file_name, ": epochs"));
    if (!epoch.ok()) return epoch.status();
    if (!epochs.empty() && epoch->epoch <= epochs.back().epoch)
      return absl::InvalidArgumentError(absl::StrCat(file_name, ": epochs: must ascend"));
    epochs.push_back(*std::move(epoch));
  }
  return epochs;
}

}  // namespace pixelrec::checkpoint
