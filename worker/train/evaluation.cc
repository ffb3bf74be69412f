#include "worker/train/evaluation.h"

#include <chrono>

#include "worker/eval/item_matrix.h"
#include "worker/eval/ranking.h"
#include "worker/train/ranking_record.h"
#include "worker/train/validation.h"

namespace pixelrec::train {

absl::Status RunEvaluation(Session& session, WorkerLink& link, ProgressLog& log) {
  const auto start = std::chrono::steady_clock::now();
  link.TrainingStarted(0);
  const data::Dataset& dataset = *session.dataset;
  const auto enter = [&](dist::Section section) { session.whereabouts->Enter(section); };
  enter(dist::Section::kEncode);
  const at::Tensor items = eval::EncodeAllItems(dataset, *session.hllm, session.group, [&](double fraction) {
    log.Section("evaluate", fraction, 1);
    enter(dist::Section::kEncode);
  });
  const double loss =
      ValidationLoss(dataset, *session.hllm, items, session.group, session.job.seed, [&] { enter(dist::Section::kValidate); });
  const at::ScalarType scores = session.job.compat.bf16_scores ? at::kBFloat16 : at::kFloat;
  const auto rank = [&](eval::Split split) {
    return eval::RankTargets(dataset, *session.hllm, items, session.group, split, scores, [&] { enter(dist::Section::kRank); });
  };
  const eval::TargetRanks validation = rank(eval::Split::kValidation), test = rank(eval::Split::kTest);
  enter(dist::Section::kReport);
  if (!session.is_rank_zero()) return absl::OkStatus();
  ResultRecord result{.validation = RankingOf(dataset, eval::Split::kValidation, validation, session.job.ks),
                      .validation_loss = loss};
  RankTest(dataset, test, session.job.ks, result);
  result.evaluation_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log.Result(result);
  link.Finished(result);
  return absl::OkStatus();
}

}  // namespace pixelrec::train
