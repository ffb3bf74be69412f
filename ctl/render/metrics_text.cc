#include "ctl/render/metrics_text.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

constexpr char kRow[] = "%3s  %5s  %8s  %9s  %8s  %9s  %10s  %9s  %7s  %7s  %8s";

std::string Whole(double value) { return std::isfinite(value) ? GroupDigits(std::llround(value)) : "-"; }

std::string EvaluationText(const v1::MetricPoint& point, const v1::Evaluation& evaluation) {
  std::vector<std::string> parts;
  if (evaluation.has_loss())
    parts.push_back(absl::StrCat("loss ", Fixed(evaluation.loss(), 4), evaluation.best() ? " (best)" : ""));
  if (evaluation.has_train_loss()) parts.push_back(absl::StrCat("training loss ", Fixed(evaluation.train_loss(), 4)));
  for (const v1::MetricAtK& at : evaluation.at())
    parts.push_back(absl::StrCat("Recall@", at.k(), " ", Fixed(at.recall(), 4), " NDCG@", at.k(), " ", Fixed(at.ndcg(), 4)));
  const std::string name = absl::StrReplaceAll(OneLine(evaluation.name()), {{"_", " "}});
  return absl::StrFormat("%3d  %5d  %8d  %s: %s\n", point.generation(), point.epoch(), point.step(), name,
                         absl::StrJoin(parts, ", "));
}

}  // namespace

std::string MetricsHeader() {
  return absl::StrFormat(kRow, "GEN", "EPOCH", "STEP", "LOSS", "LR", "GRAD NORM", "TOKENS/S", "SAMPLES/S", "S/STEP", "ETA",
                         "MEMORY") +
         "\n";
}

std::string MetricPointText(const v1::MetricPoint& point) {
  std::string text;
  if (point.has_training()) {
    const v1::TrainingMetrics& t = point.training();
    text = absl::StrFormat(kRow, absl::StrCat(point.generation()), absl::StrCat(point.epoch()), absl::StrCat(point.step()),
                           Fixed(t.loss(), 4), absl::StrFormat("%.1e", t.learning_rate()), Fixed(t.grad_norm(), 4),
                           Whole(t.tokens_per_second()), Fixed(t.samples_per_second(), 1), Fixed(t.step_seconds(), 3),
                           SecondsText(t.eta_seconds()), t.resident_bytes() > 0 ? BytesText(t.resident_bytes()) : "-");
    absl::StrAppend(&text, point.merged() > 0 ? absl::StrCat("  +", point.merged(), " merged") : "", "\n");
  }
  for (const v1::Evaluation& evaluation : point.evaluations()) text += EvaluationText(point, evaluation);
  return text;
}

}  // namespace pixelrec::ctl
