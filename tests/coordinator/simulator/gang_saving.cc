// How a gang writes checkpoints and best_model/: to staging folders that carry the generation, beside the steps, one at a time.
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/simulator/gang.h"

namespace pixelrec::simulator {

Saved Gang::SavedAs(const std::string& name) const {
  return {.name = name, .job_id = id_.first, .generation = id_.second, .step = step_, .epoch = epoch_, .samples_digest = digest_};
}

v1::Stalls Gang::stalls() const {
  v1::Stalls stalls;
  stalls.set_data_seconds(ToSeconds(batches_));
  stalls.set_checkpoint_seconds(ToSeconds(saving_));
  return stalls;
}

void Gang::StartSave(v1::ArtifactKind kind, Timeline::Task then) {
  Conclude([this, kind, then = std::move(then)] {
    Trainer* first = rank_zero();
    if (first == nullptr) return then();
    if (trainers_.disk_full_) {  // it trains on, without this one
      v1::TrainerReport report;
      report.mutable_notice()->set_text(absl::StrCat("no checkpoint at step ", step_, ": no space"));
      trainers_.Report(*first, std::move(report));
      return then();
    }
    const bool recovery = kind == v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT;
    const std::string name = recovery ? absl::StrCat("recovery/step-", step_) : absl::StrCat("checkpoint-epoch-", epoch_);
    save_ = Save{.saved = SavedAs(name)};
    v1::Artifact& artifact = save_->artifact;
    artifact.set_kind(kind);
    artifact.set_path(absl::StrCat(order_.plan().spec().output_dir(), "/", name));
    artifact.set_staging_path(trainers_.Staging(*first, recovery ? absl::StrCat("step-", step_) : name));
    artifact.set_epoch(epoch_);
    artifact.set_step(step_);
    artifact.set_samples(step_);
    artifact.set_sample_digest(absl::StrCat(digest_));
    trainers_.ledger_.Mark(id_, step_);
    trainers_.timeline_.After(nature_.save, [self = shared_from_this(), number = ++save_number_] {
      if (self->save_.has_value() && number == self->save_number_) self->OnWritten();
    });
    then();
  });
}

void Gang::OnWritten() {
  if (frozen_) {
    save_->due_at_thaw = true;
    return;
  }
  save_->failed = trainers_.disk_full_;
  if (!save_->failed) {
    const std::string& folder = save_->artifact.staging_path();
    trainers_.watch_.OnStage(folder, trainers_.files_.Read(folder), save_->saved);
    trainers_.files_.Write(folder, save_->saved);
  }
  save_->written = true;
  if (when_written_ != nullptr) std::exchange(when_written_, nullptr)();
}

// The ranks tell each other that their parts are written, and the first reports it.
void Gang::Conclude(Timeline::Task then) {
  if (!save_.has_value()) return then();
  if (!save_->written) {
    when_written_ = [this, then = std::move(then), since = trainers_.timeline_.now()] {
      saving_ += trainers_.timeline_.now() - since;
      Conclude(then);
    };
    return;
  }
  const Save save = *std::exchange(save_, std::nullopt);
  if (!save.failed) Announce(save.artifact);
  then();
}

void Gang::Announce(v1::Artifact artifact) {
  Trainer* first = rank_zero();
  if (first == nullptr) return;
  artifact.set_generation(id_.second);
  *artifact.mutable_stalls() = stalls();
  v1::TrainerReport report;
  *report.mutable_artifact_staged() = artifact;
  trainers_.Report(*first, std::move(report));
  awaited_.push_back(std::move(artifact));
}

void Gang::StageBest() {
  Trainer* first = rank_zero();
  if (first == nullptr || trainers_.disk_full_) return;
  v1::Artifact artifact;
  artifact.set_kind(v1::ARTIFACT_KIND_BEST_MODEL);
  artifact.set_path(order_.plan().spec().output_dir() + "/best_model");
  artifact.set_staging_path(trainers_.Staging(*first, absl::StrCat("best_model-", step_)));
  artifact.set_epoch(epoch_);
  artifact.set_step(step_);
  const Saved saved = SavedAs("best_model");
  trainers_.watch_.OnStage(artifact.staging_path(), trainers_.files_.Read(artifact.staging_path()), saved);
  trainers_.files_.Write(artifact.staging_path(), saved);
  Announce(std::move(artifact));
}

void Gang::AwaitCommits(Timeline::Task then) {
  when_committed_ = [this, then = std::move(then)] {
    awaited_.clear();
    then();
  };
  OnCommitted();
}

void Gang::OnCommitted() {
  Trainer* first = rank_zero();
  if (when_committed_ == nullptr || first == nullptr || frozen_ || over_) return;
  for (const v1::Artifact& artifact : awaited_) {
    if (!first->committed.contains({artifact.path(), artifact.step()})) return;
  }
  std::exchange(when_committed_, nullptr)();
}

}  // namespace pixelrec::simulator
