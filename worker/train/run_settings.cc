#include "worker/train/run_settings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pixelrec::train {
namespace {

std::optional<double> IfFinite(double value) { return std::isfinite(value) ? std::optional(value) : std::nullopt; }

EpochRecord FromFinished(const checkpoint::FinishedEpoch& saved) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  EpochRecord epoch{.epoch = static_cast<int>(saved.epoch),
                    .step = saved.step,
                    .train_loss = saved.train_loss.value_or(kNone),
                    .validation_loss = saved.validation_loss.value_or(kNone),
                    .best = saved.best,
                    .seconds = saved.seconds,
                    .validation = {}};
  for (const auto& at : saved.validation)
    epoch.validation.at.push_back({.k = static_cast<int>(at.k), .recall = at.recall, .ndcg = at.ndcg});
  epoch.validation.users = saved.users;
  epoch.validation.masked_targets = saved.masked_targets;
  epoch.validation.tied_targets = saved.tied_targets;
  return epoch;
}

}  // namespace

std::map<std::string, std::string> SettingsOf(const TrainJob& job) {
  std::map<std::string, std::string> settings;
  for (const auto& [rule, on] :
       {std::pair("random_left_slots", job.data_compat.random_left_slots),
        std::pair("padded_negatives", job.data_compat.padded_negatives),
        std::pair("num_negatives_per_sample", job.data_compat.num_negatives_per_sample),
        std::pair("reference_sampler", job.data_compat.reference_sampler), std::pair("bf16_rounding", job.compat.bf16_rounding),
        std::pair("mean_per_rank", job.compat.mean_per_rank), std::pair("no_clipping", job.compat.no_clipping),
        std::pair("best_by_ndcg", job.compat.best_by_ndcg), std::pair("bf16_scores", job.compat.bf16_scores),
        std::pair("decay_unread", job.compat.decay_unread)}) {
    settings[absl::StrCat("spec.compat.", rule)] = on ? "true" : "false";
  }
  std::vector<std::string> frozen = job.freeze;
  std::sort(frozen.begin(), frozen.end());
  settings["spec.model.freeze"] = absl::StrJoin(frozen, ",");
  settings["spec.model.item_emb_token_n"] = absl::StrCat(job.item_emb_token_n);
  settings["spec.model.item_llm_init"] = job.item_llm_init ? "true" : "false";
  settings["spec.model.user_llm_init"] = job.user_llm_init ? "true" : "false";
  return settings;
}

std::vector<checkpoint::FinishedEpoch> ToFinishedEpochs(std::span<const EpochRecord> epochs) {
  std::vector<checkpoint::FinishedEpoch> saved;
  for (const EpochRecord& epoch : epochs) {
    saved.push_back({.epoch = epoch.epoch,
                     .step = epoch.step,
                     .train_loss = IfFinite(epoch.train_loss),
                     .validation_loss = IfFinite(epoch.validation_loss),
                     .best = epoch.best,
                     .seconds = epoch.seconds,
                     .validation = {},
                     .users = epoch.validation.users,
                     .masked_targets = epoch.validation.masked_targets,
                     .tied_targets = epoch.validation.tied_targets});
    for (const RankingRecord::At& at : epoch.validation.at)
      saved.back().validation.push_back({.k = at.k, .recall = at.recall, .ndcg = at.ndcg});
  }
  return saved;
}

std::vector<EpochRecord> MergeEpochs(const std::vector<checkpoint::FinishedEpoch>& saved, const std::vector<EpochRecord>& known,
                                     int64_t last) {
  std::map<int, EpochRecord> by_number;
  for (const checkpoint::FinishedEpoch& epoch : saved) by_number[static_cast<int>(epoch.epoch)] = FromFinished(epoch);
  for (const EpochRecord& epoch : known) by_number[epoch.epoch] = epoch;
  std::vector<EpochRecord> epochs;
  for (auto& [number, epoch] : by_number) {
    if (number <= last) epochs.push_back(std::move(epoch));
  }
  return epochs;
}

}  // namespace pixelrec::train
