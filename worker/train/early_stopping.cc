#include "worker/train/early_stopping.h"

#include <algorithm>
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

// NDCG at the largest cut-off: the reference's score (rule O5).
std::string ReferenceMetric(const TrainJob& job) {
  return absl::StrCat("ndcg@", *std::max_element(job.ks.begin(), job.ks.end()));
}

constexpr int kReferencePatience = 6;  // stopping_step 5, exceeded

}  // namespace

EarlyStopping EarlyStoppingOf(const TrainJob& job) {
  if (!job.compat.best_by_ndcg || job.early_stopping.patience > 0) return job.early_stopping;
  return {.metric = ReferenceMetric(job), .patience = kReferencePatience, .as_good_is_better = true};
}

bool IsBest(const TrainJob& job, std::span<const EpochRecord> before, const EpochRecord& epoch,
            std::optional<double> best_validation_loss) {
  if (!job.compat.best_by_ndcg) {
    return std::isfinite(epoch.validation_loss) && (!best_validation_loss || epoch.validation_loss < *best_validation_loss);
  }
  const std::string metric = ReferenceMetric(job);
  const std::optional<double> score = ScoreOf(metric, epoch);
  return score && std::all_of(before.begin(), before.end(), [&](const EpochRecord& earlier) {
           const std::optional<double> other = ScoreOf(metric, earlier);
           return !other || *score >= *other;
         });
}

std::optional<std::string> ReasonToStopEarly(const EarlyStopping& options, std::span<const EpochRecord> epochs) {
  if (options.patience <= 0) return std::nullopt;
  std::optional<double> best;
  int best_epoch = 0, since = 0;
  for (const EpochRecord& epoch : epochs) {
    const std::optional<double> score = ScoreOf(options.metric, epoch);
    if (!score) continue;
    const bool better = !best || *score > *best || (options.as_good_is_better && *score == *best);
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
