#include "coordinator/state/metric_point.h"

#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

namespace {

v1::MetricPoint PointOf(const v1::RankReport& report, int epoch, int64_t step, Now now) {
  v1::MetricPoint point;
  point.set_sequence((report.generation() << 32) + report.sequence());
  *point.mutable_time() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(now.wall.count());
  point.set_generation(report.generation());
  point.set_epoch(epoch);
  point.set_step(step);
  return point;
}

void Add(const char* name, const v1::RankingMetrics& ranking, v1::MetricPoint& point) {
  if (ranking.at_size() > 0) {
    v1::Evaluation& evaluation = *point.add_evaluations();
    evaluation.set_name(name);
    *evaluation.mutable_at() = ranking.at();
  }
}

}  // namespace

std::optional<v1::MetricPoint> TrainingPoint(const v1::RankReport& report, const std::optional<v1::Progress>& before, Now now) {
  const v1::Progress& progress = report.trainer().progress();
  // A trainer of an older version doesn't number its records; its figures outside of training are those of the last step again.
  const bool numbered = progress.record() > 0;
  const bool known = numbered ? before.has_value() && before->record() >= progress.record() : progress.section() != "train";
  if (progress.step() == 0 || known) {
    return std::nullopt;
  }
  v1::MetricPoint point = PointOf(report, progress.epoch(), progress.step(), now);
  v1::TrainingMetrics& training = *point.mutable_training();
  training.set_loss(progress.loss());
  training.set_learning_rate(progress.learning_rate());
  training.set_grad_norm(progress.grad_norm());
  training.set_tokens_per_second(progress.tokens_per_second());
  training.set_samples_per_second(progress.samples_per_second());
  training.set_step_seconds(progress.step_seconds());
  training.set_eta_seconds(progress.eta_seconds());
  training.set_total_steps(progress.total_steps());
  training.set_resident_bytes(progress.resident_bytes());
  return point;
}

std::optional<v1::MetricPoint> EvaluationPoint(const v1::RankReport& report, const v1::Job& job, Now now) {
  if (report.trainer().has_epoch_result()) {
    const v1::EpochResult& epoch = report.trainer().epoch_result();
    v1::MetricPoint point = PointOf(report, epoch.epoch(), epoch.step(), now);
    v1::Evaluation& evaluation = *point.add_evaluations();
    evaluation.set_name("validation");
    evaluation.set_loss(epoch.validation_loss());
    evaluation.set_train_loss(epoch.train_loss());
    evaluation.set_best(epoch.best());
    *evaluation.mutable_at() = epoch.validation().at();
    return point;
  }
  if (!report.trainer().has_result()) {
    return std::nullopt;
  }
  const v1::JobResult& result = report.trainer().result();
  const int epochs = result.epochs_size();
  v1::MetricPoint point = PointOf(report, epochs, epochs > 0 ? result.epochs(epochs - 1).step() : job.checkpoint().step(), now);
  Add("validation", result.validation(), point);
  if (result.has_validation_loss()) {
    if (point.evaluations_size() == 0) {
      point.add_evaluations()->set_name("validation");
    }
    point.mutable_evaluations(0)->set_loss(result.validation_loss());
  }
  Add("test", result.test(), point);
  Add("popularity", result.popularity(), point);
  Add("last_item", result.last_item(), point);
  return point;
}

}  // namespace pixelrec::coordinator
