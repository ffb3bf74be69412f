#include "tests/coordinator/simulator/gang.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pixelrec::simulator {

namespace {

// A broken collective is mostly seen at once; where the other end vanished without a word, by its timeout.
constexpr microseconds kCollectiveTimeout = Seconds(600);

}  // namespace

Gang::Gang(Trainers& trainers, const v1::StartRank& order, const Nature& nature)
    : trainers_(trainers), order_(order), nature_(nature), id_(order.job_id(), order.generation()) {}

void Gang::Add(Trainer& trainer) { members_.push_back(&trainer); }

Trainer* Gang::rank_zero() const {
  auto it = std::find_if(members_.begin(), members_.end(), [](const Trainer* t) { return t->rank() == 0; });
  return it == members_.end() ? nullptr : *it;
}

void Gang::EnterAll(Bucket bucket) {
  for (const Trainer* member : members_) trainers_.ledger_.Enter(member->worker, bucket, id_);
}

void Gang::Do(microseconds duration, Timeline::Task then) {
  then_ = std::move(then);
  ends_at_ = trainers_.timeline_.now() + duration;
  left_ = duration;
  if (!frozen_) Arm();
}

void Gang::Arm() {
  trainers_.timeline_.At(ends_at_, [self = shared_from_this(), version = ++version_] {
    if (version == self->version_ && self->then_ != nullptr) std::exchange(self->then_, nullptr)();
  });
}

void Gang::OnPaused() {
  if (std::exchange(frozen_, true)) return;
  frozen_since_ = trainers_.timeline_.now();
  ++version_;
  left_ = ends_at_ - trainers_.timeline_.now();
  if (training_) EnterAll(Bucket::kStalled);
}

// The others wait in the next collective for who stands still.
std::optional<channel::Position> Gang::PositionOf(const Trainer& trainer) const {
  if (!training_ || over_) return std::nullopt;
  const microseconds since = trainer.paused ? trainer.paused_since : frozen_ ? frozen_since_ : trainers_.timeline_.now();
  const bool commits = when_committed_ != nullptr;
  return channel::Position{.section = commits ? v1::TRAINER_SECTION_AWAIT_COMMIT : v1::TRAINER_SECTION_BACKWARD,
                           .step = step_,
                           .collective = static_cast<uint64_t>(step_) + (trainer.paused ? 0 : 1),
                           .waits = frozen_ && !trainer.paused && !commits,
                           .since = std::chrono::steady_clock::time_point(since),
                           .typical = nature_.step};
}

void Gang::OnContinued() {
  if (!frozen_ || std::any_of(members_.begin(), members_.end(), [](const Trainer* t) { return t->paused; })) return;
  frozen_ = false;
  if (training_ && !over_) EnterAll(leaving_ ? Bucket::kStopping : Bucket::kTrain);
  if (then_ != nullptr) {
    ends_at_ = trainers_.timeline_.now() + std::max(left_, microseconds(0));
    Arm();
  }
  if (save_.has_value() && std::exchange(save_->due_at_thaw, false)) OnWritten();
  OnCommitted();
}

void Gang::OnJoined(Trainer&) {
  if (over_) return;
  if (++joined_ == static_cast<size_t>(order_.plan().world_size())) Do(nature_.load, [this] { Restore(); });
}

void Gang::OnGone(Trainer& trainer) {
  std::erase(members_, &trainer);
  // Ranks but the first leave a stopping gang while that still waits for its checkpoint's commit.
  if (over_ || (leaving_ && trainer.rank() != 0)) return OnContinued();
  over_ = true;
  ++version_;
  then_ = nullptr;
  save_.reset();
  when_written_ = when_committed_ = nullptr;
  EnterAll(Bucket::kStopping);
  for (Trainer* member : members_) {
    const microseconds seen =
        trainers_.dice_.Chance(0.1) ? kCollectiveTimeout : trainers_.dice_.Spread(Seconds(0.001), Seconds(1));
    trainers_.Later(*member, seen, [this](Trainer& t) { trainers_.Fail(t.pid, v1::FAILURE_CAUSE_COLLECTIVE); });
  }
}

void Gang::FailAll(v1::FailureCause cause) {
  over_ = true;
  const std::vector<Trainer*> members = members_;
  for (Trainer* member : members) trainers_.Fail(member->pid, cause);
}

void Gang::ExitAll() {
  over_ = true;
  const std::vector<Trainer*> members = members_;
  for (Trainer* member : members) trainers_.Exit(*member, 0, 0);
}

void Gang::Restore() {
  const v1::TrainerPlan& plan = order_.plan();
  if (plan.has_resume_from()) {
    const Saved* found = trainers_.files_.Read(plan.resume_from().path());
    trainers_.watch_.OnRestore(order_, found);
    // The reader compares the manifest's digest with the one that was committed.
    const bool as_committed = found != nullptr && !found->damaged && found->step == plan.resume_from().step() &&
                              found->generation == plan.resume_from().generation();
    if (!as_committed) return FailAll(v1::FAILURE_CAUSE_CHECKPOINT_DAMAGED);
    step_ = found->step;
    epoch_ = found->epoch;
    digest_ = found->samples_digest;
  }
  training_ = true;
  EnterAll(Bucket::kTrain);
  for (Trainer* member : members_) {
    v1::TrainerReport started;
    started.mutable_training_started()->set_step(step_);
    trainers_.Report(*member, std::move(started));
    trainers_.Note(*member);
  }
  // As RemoveLeftovers() of worker/train/artifacts.cc.
  const std::string staging = plan.spec().output_dir() + "/.staging";
  for (const std::string& folder : trainers_.files_.Below(staging)) {
    if (std::strtoull(folder.c_str() + staging.size() + 2, nullptr, 10) < id_.second) {
      (void)trainers_.files_.RemoveTree(folder);
    }
  }
  StepOn();
}

bool Gang::StopAsked(bool* with_checkpoint) const {
  bool stop = false;
  for (const Trainer* member : members_) {
    stop = stop || member->stop;
    *with_checkpoint = *with_checkpoint || member->stop_with_checkpoint;
  }
  return stop;
}

// Up to the next step after which there is something to do.
void Gang::StepOn() {
  if (epoch_ >= nature_.epochs) return FinishJob();
  const int64_t in_epoch = step_ - int64_t{epoch_} * nature_.steps_per_epoch;
  if (in_epoch >= nature_.steps_per_epoch) return FinishEpoch();
  const auto to_multiple = [this](int64_t of) { return of <= 0 ? INT64_MAX : of - step_ % of; };
  int64_t steps =
      std::min({nature_.steps_per_epoch - in_epoch, to_multiple(nature_.logging_steps), to_multiple(nature_.every_steps)});
  if (nature_.doomed_step > step_) steps = std::min(steps, nature_.doomed_step - step_);
  bool with_checkpoint = false;
  stepping_ = StopAsked(&with_checkpoint) ? 1 : steps;
  Do(stepping_ * nature_.step, [this] { AfterSteps(); });
}

// The flag travels with the next step.
void Gang::OnStop() {
  if (!training_ || over_ || leaving_ || stepping_ <= 1 || then_ == nullptr) return;
  const microseconds until = frozen_ ? left_ : ends_at_ - trainers_.timeline_.now();
  const int64_t spare = (until - microseconds(1)) / nature_.step;
  stepping_ -= spare;
  ends_at_ -= spare * nature_.step;
  left_ -= spare * nature_.step;
  if (!frozen_) Arm();
}

void Gang::AfterSteps() {
  digest_ = VisitSamples(digest_, step_, step_ + stepping_);
  batches_ += stepping_ * nature_.step / 10;
  step_ += std::exchange(stepping_, 0);
  if (step_ == nature_.doomed_step) return FailAll(v1::FAILURE_CAUSE_NONFINITE_LOSS);
  if (step_ % nature_.logging_steps == 0) Progress("train");
  if (trainers_.dice_.Chance(0.1)) {
    for (Trainer* member : members_) trainers_.Note(*member);
  }
  bool with_checkpoint = false;
  if (StopAsked(&with_checkpoint)) return Leave(with_checkpoint);
  if (save_.has_value() && save_->written) Conclude([] {});
  const bool epoch_ends = step_ % nature_.steps_per_epoch == 0;
  if (!epoch_ends && nature_.every_steps > 0 && step_ % nature_.every_steps == 0) {
    return StartSave(v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT, [this] { StepOn(); });
  }
  StepOn();
}

void Gang::Leave(bool with_checkpoint) {
  leaving_ = true;
  EnterAll(Bucket::kStopping);
  const auto exit_all = [this] { ExitAll(); };
  if (!with_checkpoint) return exit_all();
  StartSave(v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT, [this, exit_all] {
    Conclude([this, exit_all] {
      const std::vector<Trainer*> members = members_;
      for (Trainer* member : members) {
        if (member->rank() != 0) trainers_.Exit(*member, 0, 0);
      }
      AwaitCommits(exit_all);
    });
  });
}

void Gang::FinishEpoch() {
  Progress("validate");
  Do(nature_.validate, [this] {
    ++epoch_;
    v1::TrainerReport report;
    report.mutable_epoch_result()->set_epoch(epoch_);
    report.mutable_epoch_result()->set_step(step_);
    report.mutable_epoch_result()->set_samples(step_);
    if (Trainer* first = rank_zero()) trainers_.Report(*first, std::move(report));
    if (trainers_.dice_.Chance(0.6)) StageBest();
    StartSave(v1::ARTIFACT_KIND_EPOCH_CHECKPOINT, [this] { StepOn(); });
  });
}

void Gang::FinishJob() {
  Conclude([this] {
    AwaitCommits([this] {
      Progress("evaluate");
      Do(nature_.validate, [this] {
        if (Trainer* first = rank_zero()) {
          v1::TrainerReport report;
          report.mutable_result()->set_samples(step_);
          report.mutable_result()->set_sample_digest(absl::StrCat(digest_));
          *report.mutable_result()->mutable_stalls() = stalls();
          trainers_.Report(*first, std::move(report));
        }
        ExitAll();
      });
    });
  });
}

void Gang::Progress(const std::string& section) {
  Trainer* first = rank_zero();
  if (first == nullptr) return;
  v1::TrainerReport report;
  v1::Progress& progress = *report.mutable_progress();
  progress.set_epoch(epoch_ + 1);
  progress.set_epochs(nature_.epochs);
  progress.set_step(step_);
  progress.set_total_steps(nature_.total_steps());
  progress.set_eta_seconds(ToSeconds((nature_.total_steps() - step_) * nature_.step));
  progress.set_section(section);
  *progress.mutable_stalls() = stalls();
  trainers_.Report(*first, std::move(report));
}

}  // namespace pixelrec::simulator
