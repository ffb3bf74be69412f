#include "worker/agent/run_metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace pixelrec::agent {

RunMetrics::RunMetrics(prometheus::Registry& registry, std::chrono::milliseconds grace)
    : grace_(grace),
      run_info_(registry, metrics::kRunInfo),
      step_(registry, metrics::kStep),
      epoch_(registry, metrics::kEpoch),
      last_step_(registry, metrics::kLastStepTimestampSeconds),
      loss_(registry, metrics::kLoss),
      learning_rate_(registry, metrics::kLearningRate),
      grad_norm_(registry, metrics::kGradNorm),
      checkpoint_last_success_(registry, metrics::kCheckpointLastSuccessTimestampSeconds),
      checkpoint_bytes_(registry, metrics::kCheckpointBytes),
      step_seconds_(registry, metrics::kStepDurationSeconds),
      checkpoint_seconds_(registry, metrics::kCheckpointDurationSeconds),
      samples_(registry, metrics::kSamplesTotal),
      tokens_(registry, metrics::kTokensTotal),
      nonfinite_(registry, metrics::kNonfiniteStepsTotal),
      checkpoint_failures_(registry, metrics::kCheckpointFailuresTotal),
      memory_(registry, metrics::kDeviceMemoryBytes),
      eval_(registry, metrics::kEvalMetric) {}

void RunMetrics::OnStarted(const RankKey& key) {
  RemoveRun();
  run_ = key;
  run_info_.With({key.job_id, absl::StrCat(key.generation), absl::StrCat(key.rank)}).Set(1);
}

void RunMetrics::OnReport(const v1::TrainerReport& report, Time now, double wall) {
  switch (report.body_case()) {
    case v1::TrainerReport::kStepTimings:
      OnStep(report.step_timings(), wall);
      break;
    case v1::TrainerReport::kEpochResult:
      SetEval("validation_loss", 0, report.epoch_result().validation_loss());
      OnRanking("validation", report.epoch_result().validation());
      break;
    case v1::TrainerReport::kResult:
      OnRanking("test", report.result().test());
      break;
    case v1::TrainerReport::kArtifactStaged:
      checkpoint_seconds_.With({"write"}).Observe(report.artifact_staged().write_seconds());
      staged_[report.artifact_staged().path()] = now;
      break;
    default:
      break;
  }
}

void RunMetrics::OnStep(const v1::StepTimings& step, double wall) {
  step_.With({}).Set(static_cast<double>(step.step()));
  epoch_.With({}).Set(step.epoch());
  last_step_.With({}).Set(wall);
  loss_.With({}).Set(step.loss());
  learning_rate_.With({}).Set(step.learning_rate());
  grad_norm_.With({}).Set(step.grad_norm());
  const std::pair<const char*, double> phases[] = {{"data", step.data_seconds()},
                                                   {"forward", step.forward_seconds()},
                                                   {"backward", step.backward_seconds()},
                                                   {"comm", step.communication_seconds()},
                                                   {"optimizer", step.optimizer_seconds()}};
  for (const auto& [phase, seconds] : phases) step_seconds_.With({phase}).Observe(seconds);
  // A counter never falls, whatever a trainer says.
  samples_.With({}).Increment(static_cast<double>(std::max<int64_t>(0, step.samples())));
  tokens_.With({}).Increment(static_cast<double>(std::max<int64_t>(0, step.tokens())));
  if (step.nonfinite()) nonfinite_.With({}).Increment();
  if (step.resident_bytes() > 0) memory_.With({"host_resident"}).Set(static_cast<double>(step.resident_bytes()));
}

void RunMetrics::OnRanking(const std::string& prefix, const v1::RankingMetrics& ranking) {
  for (const v1::MetricAtK& at : ranking.at()) {
    SetEval(prefix + "_recall", at.k(), at.recall());
    SetEval(prefix + "_ndcg", at.k(), at.ndcg());
  }
}

void RunMetrics::SetEval(const std::string& name, int k, double value) {
  if (!run_.has_value()) return;
  const std::array<std::string, 2> values{name, absl::StrCat(k)};
  eval_series_.insert(values);
  eval_.With(values).Set(value);
}

void RunMetrics::OnCommitOrdered(const v1::Artifact& artifact, Time now) {
  const auto staged = staged_.find(artifact.path());
  if (staged == staged_.end()) return;  // of an earlier generation, or repeated
  checkpoint_seconds_.With({"commit"}).Observe(std::chrono::duration<double>(now - staged->second).count());
  staged_.erase(staged);
}

void RunMetrics::OnPublished(const v1::Artifact& artifact, double seconds, double wall) {
  checkpoint_seconds_.With({"publish"}).Observe(seconds);
  checkpoint_last_success_.With({}).Set(wall);
  checkpoint_bytes_.With({}).Set(static_cast<double>(artifact.bytes()));
}

void RunMetrics::OnPublishFailed(const std::string& reason) { checkpoint_failures_.With({reason}).Increment(); }

void RunMetrics::OnEnded(Time now) {
  if (run_.has_value()) remove_at_ = now + grace_;
}

void RunMetrics::Tick(Time now) {
  if (remove_at_.has_value() && now >= *remove_at_) RemoveRun();
}

void RunMetrics::RemoveRun() {
  remove_at_.reset();
  staged_.clear();
  if (!run_.has_value()) return;
  run_info_.Remove({run_->job_id, absl::StrCat(run_->generation), absl::StrCat(run_->rank)});
  run_.reset();
  for (Gauges* gauge :
       {&step_, &epoch_, &last_step_, &loss_, &learning_rate_, &grad_norm_, &checkpoint_last_success_, &checkpoint_bytes_}) {
    gauge->Remove({});
  }
  memory_.Remove({"host_resident"});
  for (const auto& values : eval_series_) eval_.Remove(values);
  eval_series_.clear();
}

}  // namespace pixelrec::agent
