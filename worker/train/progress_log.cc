#include "worker/train/progress_log.h"

#include <unistd.h>

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/train/failure.h"

namespace pixelrec::train {
namespace {

constexpr double kMeanDecay = 0.95;
constexpr auto kSectionInterval = std::chrono::milliseconds(500);

double WallTime() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "localhost";
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProgressLog>> ProgressLog::Open(const Session& session, WorkerLink& link) {
  std::unique_ptr<ProgressLog> log(new ProgressLog(session, link));
  if (!session.is_rank_zero()) return log;
  const TrainJob& job = session.job;
  const auto folder = job.output_dir / "logs";
  auto events = EventFile::Create({.log_dir = folder,
                                   .host = HostName(),
                                   .generation = job.generation,
                                   .first_step = session.position.step,
                                   .now = WallTime});
  if (!events.ok())
    return WithKind(events.status(), FailureKind::kOutputUnwritable, "make output_dir writable for the worker's user");
  log->events_ = *std::move(events);
  auto metrics = MetricsLog::Open(
      {.path = folder / "metrics.jsonl", .generation = job.generation, .first_step = session.position.step, .now = WallTime});
  if (!metrics.ok())
    return WithKind(metrics.status(), FailureKind::kOutputUnwritable, "make output_dir writable for the worker's user");
  log->metrics_ = *std::move(metrics);
  log->Check(log->events_->AddText("job", session.position.step, absl::StrCat("```\n", job.spec_json, "\n```")));
  return log;
}

void ProgressLog::Check(const absl::Status& status) {
  if (status.ok() || std::exchange(complained_, true)) return;
  link_.Notice(true, absl::StrCat("the curves under logs/ are incomplete, training goes on: ", status.message()));
}

void ProgressLog::Scalar(const std::string& tag, double value) {
  if (events_) Check(events_->AddScalar(tag, s_.position.step, value));
}

void ProgressLog::Step(const StepOutcome& step, int epoch) {
  link_.StepTimed(step.record);
  samples_ += step.global_samples;
  tokens_ += step.global_tokens;
  seconds_ += step.seconds;
  ++steps_;
  mean_step_seconds_ = mean_step_seconds_ == 0 ? step.seconds : kMeanDecay * mean_step_seconds_ + (1 - kMeanDecay) * step.seconds;
  if (!s_.is_rank_zero()) return;
  Scalar("Loss/train", step.record.loss);
  Scalar("lr", step.record.learning_rate);
  Scalar("grad_norm", step.record.grad_norm);
  Scalar("nce_samples", step.record.nce_samples);
  Scalar("scale", step.record.scale);
  for (const TopAccuracy& top : step.record.nce_top) Scalar(absl::StrCat("nce_top", top.k, "_acc"), top.accuracy);
  const bool first_or_last = s_.position.step == 1 || s_.position.step_in_epoch == s_.steps_per_epoch;
  if (s_.position.step % s_.job.logging_steps != 0 && !first_or_last) return;
  last_ = {.epoch = epoch,
           .epochs = s_.job.epochs,
           .step = s_.position.step,
           .total_steps = s_.total_steps,
           .loss = step.record.loss,
           .learning_rate = step.record.learning_rate,
           .grad_norm = step.record.grad_norm,
           .tokens_per_second = static_cast<double>(tokens_) / seconds_,
           .samples_per_second = static_cast<double>(samples_) / seconds_,
           .step_seconds = seconds_ / static_cast<double>(steps_),
           .eta_seconds = mean_step_seconds_ * static_cast<double>(s_.total_steps - s_.position.step),
           .section = "train",
           .section_fraction = static_cast<double>(s_.position.step_in_epoch) / static_cast<double>(s_.steps_per_epoch),
           .record = last_.record + 1,
           .stalls = stalls_};
  link_.Progress(last_);
  Scalar("tokens_per_second", last_.tokens_per_second);
  MetricsRecord record{.section = "train",
                       .epoch = epoch,
                       .step = s_.position.step,
                       .values = {{"loss", step.record.loss},
                                  {"learning_rate", step.record.learning_rate},
                                  {"grad_norm", step.record.grad_norm},
                                  {"tokens_per_second", last_.tokens_per_second},
                                  {"samples_per_second", last_.samples_per_second},
                                  {"step_seconds", last_.step_seconds},
                                  {"nce_samples", step.record.nce_samples},
                                  {"scale", step.record.scale}}};
  for (const TopAccuracy& top : step.record.nce_top) {
    record.values.emplace_back(absl::StrCat("nce_top", top.k, "_acc"), top.accuracy);
  }
  if (s_.job.grad_cache) record.values.emplace_back("cached_passes", static_cast<double>(step.record.cached_passes));
  Check(metrics_->Append(record));
  samples_ = tokens_ = steps_ = 0;
  seconds_ = 0;
}

void ProgressLog::Section(const std::string& section, double fraction, int epoch) {
  const auto now = std::chrono::steady_clock::now();
  if (!s_.is_rank_zero() || (fraction < 1 && now - last_section_ < kSectionInterval)) return;
  last_section_ = now;
  ProgressRecord progress = last_;
  progress.epoch = std::min(epoch, s_.job.epochs);
  progress.epochs = s_.job.epochs;
  progress.step = s_.position.step;
  progress.total_steps = s_.total_steps;
  progress.section = section;
  progress.section_fraction = fraction;
  progress.stalls = stalls_;
  link_.Progress(progress);
}

void ProgressLog::Metrics(const std::string& split, const RankingRecord& ranking) {
  for (const RankingRecord::At& at : ranking.at) {
    Scalar(absl::StrCat("Recall@", at.k, "/", split), at.recall);
    Scalar(absl::StrCat("NDCG@", at.k, "/", split), at.ndcg);
  }
}

namespace {

void AddMetrics(const RankingRecord& ranking, MetricsRecord& to) {
  for (const RankingRecord::At& at : ranking.at) {
    to.values.emplace_back(absl::StrCat("recall@", at.k), at.recall);
    to.values.emplace_back(absl::StrCat("ndcg@", at.k), at.ndcg);
  }
}

}  // namespace

void ProgressLog::Epoch(const EpochRecord& epoch) {
  Scalar("Loss/valid", epoch.validation_loss);
  Metrics("valid", epoch.validation);
  MetricsRecord record{
      .section = "validation",
      .epoch = epoch.epoch,
      .step = epoch.step,
      .values = {{"train_loss", epoch.train_loss}, {"validation_loss", epoch.validation_loss}, {"best", epoch.best}}};
  AddMetrics(epoch.validation, record);
  Check(metrics_->Append(record));
}

void ProgressLog::Result(const ResultRecord& result) {
  Metrics("test", result.test);
  if (result.validation_loss) Scalar("Loss/valid", *result.validation_loss);
  Metrics("valid", result.validation);
  for (const auto& [section, metrics] :
       {std::pair("validation", &result.validation), std::pair("test", &result.test), std::pair("popularity", &result.popularity),
        std::pair("last_item", &result.last_item)}) {
    if (metrics->at.empty()) continue;
    MetricsRecord record{.section = section, .epoch = s_.position.epoch, .step = s_.position.step, .values = {}};
    AddMetrics(*metrics, record);
    Check(metrics_->Append(record));
  }
  Check(events_->Sync());
  Check(metrics_->Sync());
}

}  // namespace pixelrec::train
