// Trainer processes and what they do together, by virtual time: prepare; start, meet, load, step, save, validate, evaluate; and
// all the ways to end. A gang (gang.h) is the ranks of one generation, in lockstep by their collectives.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pixelrec/v1/worker_service.pb.h"
#include "tests/coordinator/simulator/ledger.h"
#include "tests/coordinator/simulator/shared_files.h"
#include "tests/coordinator/simulator/trace.h"
#include "tests/coordinator/simulator/workload.h"
#include "worker/channel/position_page.h"

namespace pixelrec::simulator {

// The worker's end of a trainer.
class TrainerOwner {
 public:
  virtual ~TrainerOwner() = default;
  virtual void OnTrainerReport(uint64_t pid, v1::TrainerReport report) = 0;
  virtual void OnTrainerExit(uint64_t pid, int code, int signal) = 0;
};

struct Trainer;

// Who watches over what trainers do.
class TrainerWatch {
 public:
  virtual ~TrainerWatch() = default;
  // `other`: already runs there.
  virtual void OnSpawn(size_t worker, const v1::StartRank& order, const Trainer* other) = 0;
  // `found`: what lies where the plan says (null: nothing).
  virtual void OnRestore(const v1::StartRank& order, const Saved* found) = 0;
  virtual void OnPause(const Trainer& trainer) = 0;
  virtual void OnStage(const std::string& folder, const Saved* before, const Saved& saved) = 0;
};

class Gang;

struct Trainer {
  uint64_t pid = 0;
  size_t worker = 0;
  TrainerOwner* owner = nullptr;
  v1::StartRank order;
  bool alive = true, paused = false;
  microseconds paused_since{0};
  bool ready = false, met = false, joined = false;
  bool stop = false, stop_with_checkpoint = false;
  std::set<std::pair<std::string, int64_t>> committed;
  std::shared_ptr<Gang> gang;                // null: prepares
  std::vector<Timeline::Task> when_resumed;  // what came due while it stood still
  int notes = 0;

  int rank() const { return order.plan().rank(); }
  Ledger::GangId gang_id() const { return {order.job_id(), order.generation()}; }
};

class Trainers {
 public:
  Trainers(Timeline& timeline, Trace& trace, Dice dice, const Workload& workload, SharedFiles& files, Ledger& ledger,
           TrainerWatch& watch);

  uint64_t Spawn(size_t worker, TrainerOwner* owner, const v1::StartRank& order);
  void Tell(uint64_t pid, const v1::TrainerCommand& command);
  void Kill(uint64_t pid, int signal);
  // Its worker's process died, and it with it.
  void Orphan(uint64_t pid);
  void Pause(uint64_t pid);
  void Continue(uint64_t pid);
  // Says why and exits; FAILURE_CAUSE_UNSPECIFIED: without a word.
  void Fail(uint64_t pid, v1::FailureCause cause);

  // What its page says.
  std::optional<channel::Position> PositionOf(uint64_t pid) const;
  std::vector<uint64_t> alive() const;
  const Trainer& at(uint64_t pid) const { return *trainers_.at(pid); }
  // Staging finds no space.
  void SetDiskFull(bool full) { disk_full_ = full; }
  // A planted fault: staging folders don't carry the generation.
  void ShareStaging() { share_staging_ = true; }

 private:
  friend class Gang;
  Trainer* Find(uint64_t pid);
  void Report(Trainer& trainer, v1::TrainerReport report);
  void Note(Trainer& trainer);
  void Exit(Trainer& trainer, int code, int signal);
  // Once the process may run: `task` finds it alive and not paused, or is dropped.
  void Later(Trainer& trainer, microseconds delay, std::function<void(Trainer&)> task);
  void Begin(Trainer& trainer);
  void Prepare(Trainer& trainer);
  std::string Staging(const Trainer& trainer, const std::string& name) const;

  Timeline& timeline_;
  Trace& trace_;
  Dice dice_;
  const Workload& workload_;
  SharedFiles& files_;
  Ledger& ledger_;
  TrainerWatch& watch_;
  std::map<uint64_t, std::unique_ptr<Trainer>> trainers_;  // alive
  std::map<Ledger::GangId, std::shared_ptr<Gang>> gangs_;
  uint64_t last_pid_ = 1000;
  bool disk_full_ = false;
  bool share_staging_ = false;
};

}  // namespace pixelrec::simulator
