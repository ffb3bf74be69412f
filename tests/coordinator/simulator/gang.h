// The ranks of one generation that train together. Their collectives hold them in lockstep: where one stands still all do, and
// where one dies the others' collectives break. The story is that of worker/train/trainer.cc.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/coordinator/simulator/trainers.h"

namespace pixelrec::simulator {

class Gang : public std::enable_shared_from_this<Gang> {
 public:
  Gang(Trainers& trainers, const v1::StartRank& order, const Nature& nature);

  void Add(Trainer& trainer);
  // A member has what it needs to meet the others.
  void OnJoined(Trainer& trainer);
  void OnCommitted();
  void OnStop();
  void OnPaused();
  void OnContinued();
  // Where a member is; nothing before it trains.
  std::optional<channel::Position> PositionOf(const Trainer& trainer) const;
  // A member's process has ended, whatever for.
  void OnGone(Trainer& trainer);

 private:
  // One after the other, on all ranks at once.
  void Do(microseconds duration, Timeline::Task then);
  void Arm();
  void Restore();
  void StepOn();
  void AfterSteps();
  bool StopAsked(bool* with_checkpoint) const;
  void Leave(bool with_checkpoint);
  void FinishEpoch();
  void FinishJob();
  void FailAll(v1::FailureCause cause);
  void ExitAll();
  void EnterAll(Bucket bucket);

  // Saving (gang_saving.cc), beside the steps; one at a time.
  void StartSave(v1::ArtifactKind kind, Timeline::Task then);
  void OnWritten();
  void Conclude(Timeline::Task then);
  void Announce(v1::Artifact artifact);
  void StageBest();
  void AwaitCommits(Timeline::Task then);
  Saved SavedAs(const std::string& name) const;

  v1::Stalls stalls() const;

  Trainer* rank_zero() const;
  void Progress(const std::string& section);

  Trainers& trainers_;
  const v1::StartRank order_;  // of the rank that came first; only what all have in common
  const Nature nature_;
  const Ledger::GangId id_;
  std::vector<Trainer*> members_;  // alive and not done
  size_t joined_ = 0;
  bool training_ = false;
  bool leaving_ = false;  // stops as asked
  bool over_ = false;     // nothing more is done together

  // What is being done, and until when; while a member stands still, how much is left of it.
  Timeline::Task then_;
  microseconds ends_at_{0}, left_{0};
  bool frozen_ = false;
  microseconds frozen_since_{0};
  uint64_t version_ = 0;

  int64_t step_ = 0, stepping_ = 0;  // done; more of them under way
  int epoch_ = 0;                    // done
  uint64_t digest_ = 0;
  microseconds batches_{0}, saving_{0};  // time that steps waited for data, and all for a save

  struct Save {
    v1::Artifact artifact;
    Saved saved;
    bool written = false, failed = false, due_at_thaw = false;
  };
  std::optional<Save> save_;
  uint64_t save_number_ = 0;
  Timeline::Task when_written_;
  std::vector<v1::Artifact> awaited_;
  Timeline::Task when_committed_;
};

}  // namespace pixelrec::simulator
