#include "worker/train/early_stopping.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pixelrec::train {
namespace {

// The metric where a higher value is better.
std::optional<double> ScoreOf(const std::string& metric, const EpochRecord& epoch) {
  std::optional<double> score;
  if (metric == "validation_loss") score = -epoch.validation_loss;
  for (const RankingRecord::At& at : epoch.validation.at) {
    if (metric == absl::StrCat("recall@", at.k)) score = at.recall;
    if (metric == absl::StrCat("ndcg@", at.k)) score = at.ndcg;
  }
  return score && std::isfinite(*score) ? score : std::nullopt;
}

}  // namespace

std::optional<std::string> ReasonToStopEarly(const EarlyStopping& options, std::span<const EpochRecord> epochs) {
  if (options.patience <= 0) return std::nullopt;
  std::optional<double> best;
  int best_epoch = 0, since = 0;
  for (const EpochRecord& epoch : epochs) {
    const std::optional<double> score = ScoreOf(options.metric, epoch);
    if (!score) continue;
    const bool better = !best || *score > *best;
    since = better ? 0 : since + 1;
    if (!better) continue;
    best = score;
    best_epoch = epoch.epoch;
  }
  if (since < options.patience) return std::nullopt;
  return absl::StrFormat("stopped early: %s was best after epoch %d (%.4f) and not better in %d epochs since", options.metric,
                         best_epoch, std::abs(*best), since);
}

}  // namespace pixelrec::train
