#include "worker/train/trainer.h"

#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/dist/device.h"
#include "worker/eval/item_matrix.h"
#include "worker/eval/ranking.h"
#include "worker/train/artifacts.h"
#include "worker/train/batch_prefetcher.h"
#include "worker/train/checkpoint_writer.h"
#include "worker/train/early_stopping.h"
#include "worker/train/evaluation.h"
#include "worker/train/failure.h"
#include "worker/train/progress_log.h"
#include "worker/train/ranking_record.h"
#include "worker/train/session.h"
#include "worker/train/stall_clock.h"
#include "worker/train/training_step.h"
#include "worker/train/validation.h"

namespace pixelrec::train {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Trainer {
 public:
  Trainer(Session& session, WorkerLink& link, ProgressLog& log)
      : s_(session), link_(link), log_(log), step_(session, link), checkpoint_(session) {}

  absl::Status Run() {
    link_.TrainingStarted(s_.position.step);
    if (s_.is_rank_zero()) RemoveLeftovers(s_);
    AdoptEarlierBest();
    last_checkpoint_ = Clock::now();
    while (s_.position.epoch < s_.job.epochs) {
      if (const auto reason = ReasonToStopEarly(EarlyStoppingOf(s_.job), s_.position.epochs)) {
        if (s_.is_rank_zero()) link_.Notice(false, *reason);
        break;
      }
      if (auto status = TrainEpoch(); !status.ok()) return status;
      if (auto status = FinishEpoch(); !status.ok()) return status;
    }
    return FinishJob();
  }

 private:
  int epoch() const { return static_cast<int>(s_.position.epoch) + 1; }  // the one in hand, from 1

  // So that the job's best model is known although no epoch of this job may be better.
  void AdoptEarlierBest() {
    if (!s_.adopts_output || !s_.position.best_validation_loss) return;
    auto best = AdoptBestModel(s_);
    if (best.ok()) {
      Announce(*best);
    } else {
      link_.Notice(true, absl::StrCat("the best model so far can't be used: ", best.status().message()));
    }
  }

  absl::Status TrainEpoch() {
    epoch_start_ = Clock::now();
    BatchPrefetcher batches(*s_.dataset, s_.batches, epoch(), s_.position.step_in_epoch, s_.job.dataloader_num_workers);
    while (s_.position.step_in_epoch < s_.steps_per_epoch) {
      auto done = step_.Run(batches, epoch(), {.checkpoint_due = DueByTime(), .checkpoint_written = checkpoint_.written()});
      if (!done.ok()) return done.status();
      train_seconds_ += done->seconds;
      s_.whereabouts->Enter(dist::Section::kReport);
      data_stall_ += done->data_seconds;
      log_.Stalled(stalls());
      log_.Step(*done, epoch());
      if (auto status = AfterStep(*done); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Only rank 0's clock counts.
  bool DueByTime() const {
    return s_.is_rank_zero() && s_.job.checkpoint_every_seconds > 0 &&
           SecondsSince(last_checkpoint_) >= static_cast<double>(s_.job.checkpoint_every_seconds);
  }

  // Stop requests and recovery checkpoints: at a step border, decided alike on all ranks (flags travel with the step's
  // statistics).
  absl::Status AfterStep(const StepOutcome& step) {
    const bool epoch_ends = s_.position.step_in_epoch == s_.steps_per_epoch;
    if (step.stop_requested) {
      if (step.checkpoint_before_stop) {
        StartCheckpoint(ArtifactKind::kRecoveryCheckpoint);
        ConcludeCheckpoint();
        if (auto status = AwaitCommits(); !status.ok()) return status;
      }
      return absl::CancelledError("stopped as asked");
    }
    if (step.checkpoint_written) ConcludeCheckpoint();
    const bool due_by_steps = s_.job.checkpoint_every_steps > 0 && s_.position.step % s_.job.checkpoint_every_steps == 0;
    if (!epoch_ends && (due_by_steps || step.checkpoint_due)) StartCheckpoint(ArtifactKind::kRecoveryCheckpoint);
    return absl::OkStatus();
  }

  // One at a time: a disk that is slower than the interval slows training down rather than filling memory with copies.
  void StartCheckpoint(ArtifactKind kind) {
    const StallClock::Scope stall(checkpoint_stall_);
    ConcludeCheckpoint();
    last_checkpoint_ = Clock::now();
    s_.whereabouts->Enter(dist::Section::kCopyCheckpoint);
    const absl::Status started = checkpoint_.Start(kind);
    if (started.ok() || !s_.is_rank_zero()) return;
    link_.Notice(true, absl::StrCat("no checkpoint at step ", s_.position.step, ": ", started.message(),
                                    "; training goes on, earlier checkpoints stay, the next save tries again"));
  }

  // A checkpoint that can't be written doesn't end the job: it is reported, and the one before stays.
  void ConcludeCheckpoint() {
    s_.whereabouts->Enter(dist::Section::kWriteCheckpoint);
    const StallClock::Scope stall(checkpoint_stall_);
    auto staged = checkpoint_.Conclude();
    if (staged.ok() && *staged) Announce(**staged);
    if (!staged.ok() && s_.is_rank_zero())
      link_.Notice(true, absl::StrCat("a checkpoint failed, training goes on: ", staged.status().message()));
  }

  void Announce(ArtifactRecord artifact) {
    artifact.stalls = stalls();
    link_.ArtifactStaged(artifact);
    staged_.push_back(std::move(artifact));
  }

  StallRecord stalls() const { return {.data_seconds = data_stall_, .checkpoint_seconds = checkpoint_stall_.seconds()}; }

  absl::Status AwaitCommits() {
    s_.whereabouts->Enter(dist::Section::kAwaitCommit);
    const StallClock::Scope stall(checkpoint_stall_);
    for (const ArtifactRecord& artifact : std::exchange(staged_, {})) {
      if (auto status = link_.WaitUntilCommitted(artifact.path, artifact.step); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status FinishEpoch() {
    EpochRecord record{
        .epoch = epoch(), .step = s_.position.step, .samples = s_.position.samples, .sample_digest = s_.position.digest.Hex()};
    record.train_loss =
        s_.position.epoch_loss_rows > 0 ? s_.position.epoch_loss_sum / static_cast<double>(s_.position.epoch_loss_rows) : NAN;
    const auto start = Clock::now();
    if (auto status = Evaluate(record); !status.ok()) return status;
    evaluation_seconds_ += SecondsSince(start);
    record.seconds = SecondsSince(epoch_start_);
    s_.position.epoch += 1;
    s_.position.step_in_epoch = 0;
    s_.position.epoch_loss_sum = 0;
    s_.position.epoch_loss_rows = 0;
    std::optional<ArtifactRecord> best_model;
    if (IsBest(s_.job, s_.position.epochs, record, s_.position.best_validation_loss)) {
      auto staged = StageBest(record.validation_loss, best_model);
      if (!staged.ok()) return staged.status();
      record.best = *staged;
    }
    if (record.best) s_.position.best_validation_loss = record.validation_loss;
    s_.position.epochs.push_back(record);
    s_.whereabouts->Enter(dist::Section::kReport);
    if (s_.is_rank_zero()) {
      log_.Epoch(record);
      link_.EpochFinished(record);
    }
    if (best_model) Announce(*best_model);
    StartCheckpoint(ArtifactKind::kEpochCheckpoint);
    return absl::OkStatus();
  }

  // Writes best_model/ with the weights as they are -> whether it is written; on rank 0 also what to announce. On a full disk the
  // one before stays, and with it what counts as the best so far: a later epoch is measured against that.
  absl::StatusOr<bool> StageBest(double validation_loss, std::optional<ArtifactRecord>& best_model) {
    s_.whereabouts->Enter(dist::Section::kWriteModel);
    const StallClock::Scope stall(checkpoint_stall_);
    const WholeWeights weights = GatherWeights(s_);
    absl::Status status;
    if (s_.is_rank_zero()) {
      auto staged = StageBestModel(s_, weights, validation_loss);
      status = staged.status();
      if (staged.ok()) best_model = *std::move(staged);
      if (absl::IsResourceExhausted(status))
        link_.Notice(true, absl::StrCat("best_model/ could not be written, the one before stays: ", status.message()));
    }
    const bool written = s_.group.Broadcast(status.ok() ? "written" : "failed") == "written";
    if (!status.ok() && !absl::IsResourceExhausted(status)) return status;
    return written;
  }

  absl::Status Evaluate(EpochRecord& record) {
    const at::Tensor items = EncodeItems("validate");
    record.validation_loss = ValidationLoss(*s_.dataset, *s_.hllm, items, s_.group, s_.job.seed,
                                            [&] { s_.whereabouts->Enter(dist::Section::kValidate); });
    const bool ranked =
        s_.job.evaluate_every_epochs > 0 && (epoch() % s_.job.evaluate_every_epochs == 0 || epoch() == s_.job.epochs);
    if (ranked) {
      const eval::TargetRanks ranks = RankTargets(items, eval::Split::kValidation);
      s_.whereabouts->Enter(dist::Section::kReport);
      record.validation = RankingOf(*s_.dataset, eval::Split::kValidation, ranks, s_.job.ks);
    }
    if (!std::isfinite(record.validation_loss)) {
      link_.Notice(true, "the validation loss is not finite: no user has three events, or the model diverged");
    }
    return absl::OkStatus();
  }

  at::Tensor EncodeItems(const std::string& section) {
    log_.Stalled(stalls());
    s_.whereabouts->Enter(dist::Section::kEncode);
    return eval::EncodeAllItems(*s_.dataset, *s_.hllm, s_.group, [&](double fraction) {
      log_.Section(section, fraction, epoch());
      s_.whereabouts->Enter(dist::Section::kEncode);
    });
  }

  eval::TargetRanks RankTargets(const at::Tensor& items, eval::Split split) {
    const at::ScalarType scores = s_.job.compat.bf16_scores ? at::kBFloat16 : at::kFloat;
    return eval::RankTargets(*s_.dataset, *s_.hllm, items, s_.group, split, scores,
                             [&] { s_.whereabouts->Enter(dist::Section::kRank); });
  }

  absl::Status FinishJob() {
    ConcludeCheckpoint();
    if (auto status = AwaitCommits(); !status.ok()) return status;
    s_.group.Barrier();  // best_model/ is in place before any rank reads it
    const auto start = Clock::now();
    const bool last_is_best = !s_.position.epochs.empty() && s_.position.epochs.back().best;
    if (s_.position.best_validation_loss && !last_is_best) {
      const auto best = s_.job.output_dir / "best_model";
      s_.whereabouts->Enter(dist::Section::kLoad);
      if (auto status = LoadBestModelWeights(best, *s_.parameters); !status.ok()) return status;
      FollowMasters(*s_.exchange, *s_.parameters, s_.job.compat);
      if (s_.is_rank_zero()) link_.Notice(false, "the last epoch wasn't the best: the test metrics are best_model's");
    }
    const at::Tensor items = EncodeItems("evaluate");
    const eval::TargetRanks ranks = RankTargets(items, eval::Split::kTest);
    s_.whereabouts->Enter(dist::Section::kReport);
    if (!s_.is_rank_zero()) return absl::OkStatus();
    if (const int64_t peak = dist::PeakMemoryBytes(s_.device); peak > 0)
      link_.Notice(false,
                   absl::StrFormat("rank 0's GPU held at most %.2f GiB of tensors", static_cast<double>(peak) / (1 << 30)));
    ResultRecord result{.epochs = s_.position.epochs,
                        .train_seconds = train_seconds_,
                        .samples = s_.position.samples,
                        .tokens = s_.position.tokens,
                        .sample_digest = s_.position.digest.Hex(),
                        .stalls = stalls()};
    RankTest(*s_.dataset, ranks, s_.job.ks, result);
    result.evaluation_seconds = evaluation_seconds_ + SecondsSince(start);
    log_.Result(result);
    link_.Finished(result);
    return absl::OkStatus();
  }

  Session& s_;
  WorkerLink& link_;
  ProgressLog& log_;
  TrainingStep step_;
  CheckpointWriter checkpoint_;
  std::vector<ArtifactRecord> staged_;  // not known to be committed yet
  double train_seconds_ = 0;
  double evaluation_seconds_ = 0;
  double data_stall_ = 0;
  StallClock checkpoint_stall_;
  Clock::time_point epoch_start_;
  Clock::time_point last_checkpoint_;
};

}  // namespace

absl::Status RunTraining(const TrainJob& job, WorkerLink& link) {
  return Fenced([&]() -> absl::Status {
    auto session = OpenSession(job, link);
    if (!session.ok()) return session.status();
    auto log = ProgressLog::Open(**session, link);
    if (!log.ok()) return log.status();
    return job.evaluate_only ? RunEvaluation(**session, link, **log) : Trainer(**session, link, **log).Run();
  });
}

}  // namespace pixelrec::train
