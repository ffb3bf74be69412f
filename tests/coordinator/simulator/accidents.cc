#include "tests/coordinator/simulator/accidents.h"

#include <signal.h>

#include <utility>

namespace pixelrec::simulator {

Accidents::Accidents(World world, Dice dice, double pace) : w_(world), dice_(dice), pace_(pace) {
  for (std::vector<Kind> kinds : {Kinds(), TrainerKinds()}) {
    for (Kind& kind : kinds) {
      // Most runs have some kinds only, so that each is also seen without the others' noise.
      const bool on = dice_.Chance(0.4);
      kind.mean = dice_.Spread(Seconds(15 * pace_), Seconds(1000 * pace_));
      if (on) kinds_.push_back(std::move(kind));
    }
  }
  // Whoever dies comes back: a supervisor sees to that.
  w_.coordinator.OnDeath([this] {
    const microseconds delay =
        calm_ ? Seconds(0.2) : dice_.Spread(Seconds(0.1), dice_.Chance(0.1) ? Seconds(100 * pace_) : Seconds(3));
    w_.timeline.After(delay, [this] {
      if (!w_.coordinator.up()) w_.coordinator.Start();
    });
  });
  for (size_t i = 0; i < w_.workers.size(); ++i) {
    w_.workers[i]->OnEnd([this, i] { StartWorkerLater(i, dice_.Between(Seconds(0.5), Seconds(10))); });
  }
}

void Accidents::Start(microseconds until) {
  until_ = until;
  for (size_t i = 0; i < kinds_.size(); ++i) Plan(i);
}

void Accidents::Plan(size_t kind) {
  w_.timeline.After(dice_.Wait(kinds_[kind].mean), [this, kind] {
    if (calm_ || w_.timeline.now() >= until_) return;
    if (kinds_[kind].happens()) ++counts_[kinds_[kind].name];
    Plan(kind);
  });
}

void Accidents::Calm() {
  calm_ = true;
  w_.trace.Say("from here on nothing happens any more");
  w_.journal.SetFull(false);
  w_.journal.Arm(JournalDisk::Failpoint::kNone);
  w_.trainers.SetDiskFull(false);
  w_.files.RefuseRenames(0);
  w_.coordinator.Continue();
  if (!w_.coordinator.up()) w_.coordinator.Start();
  for (size_t i = 0; i < w_.workers.size(); ++i) {
    w_.network.Mend(i, Direction::kToServer);
    w_.network.Mend(i, Direction::kToClient);
    w_.workers[i]->Continue();
    if (!w_.workers[i]->up()) w_.workers[i]->Start();
  }
  for (uint64_t pid : w_.trainers.alive()) w_.trainers.Continue(pid);
}

microseconds Accidents::AWhile() { return dice_.Spread(Seconds(0.05), Seconds(90 * pace_)); }

WorkerNode* Accidents::AnyWorker(bool up) {
  WorkerNode* worker = w_.workers[static_cast<size_t>(dice_.Below(static_cast<int>(w_.workers.size())))].get();
  return worker->up() == up ? worker : nullptr;
}

uint64_t Accidents::AnyTrainer() {
  const std::vector<uint64_t> alive = w_.trainers.alive();
  return alive.empty() ? 0 : alive[static_cast<size_t>(dice_.Below(static_cast<int>(alive.size())))];
}

void Accidents::StartWorkerLater(size_t index, microseconds delay) {
  w_.timeline.After(delay, [this, index] {
    if (!w_.workers[index]->up()) w_.workers[index]->Start();
  });
}

bool Accidents::CutLink(bool to_server, bool to_client) {
  const auto index = static_cast<size_t>(dice_.Below(static_cast<int>(w_.workers.size())));
  if (w_.network.IsCut(index)) return false;
  w_.trace.Say("w", index, " is cut off", to_server ? "" : ", one way", to_client ? "" : ", one way");
  if (to_server) w_.network.Cut(index, Direction::kToServer);
  if (to_client) w_.network.Cut(index, Direction::kToClient);
  w_.timeline.After(AWhile(), [this, index] {
    w_.trace.Say("w", index, " is reached again");
    w_.network.Mend(index, Direction::kToServer);
    w_.network.Mend(index, Direction::kToClient);
  });
  return true;
}

bool Accidents::DamageNewestCheckpoint() {
  std::vector<const v1::Artifact*> found;
  for (const auto& [id, record] : w_.promises.records()) {
    const v1::Artifact& checkpoint = record.job().checkpoint();
    const Saved* saved = w_.files.Read(checkpoint.path());
    if (saved != nullptr && !saved->damaged && saved->generation == checkpoint.generation()) found.push_back(&checkpoint);
  }
  if (found.empty()) return false;
  const v1::Artifact& chosen = *found[static_cast<size_t>(dice_.Below(static_cast<int>(found.size())))];
  w_.trace.Say(chosen.path(), " is damaged");
  w_.promises.OnDamaged(*w_.files.Read(chosen.path()));
  w_.files.Damage(chosen.path());
  return true;
}

std::vector<Accidents::Kind> Accidents::Kinds() {
  const auto die_at = [this](JournalDisk::Failpoint failpoint) {
    w_.journal.Arm(failpoint);
    return w_.coordinator.up();
  };
  return {
      {"coordinator killed", [this] { return w_.coordinator.up() ? (w_.coordinator.Kill(dice_.Chance(0.3)), true) : false; }},
      {"coordinator killed before a commit", [die_at] { return die_at(JournalDisk::Failpoint::kBeforeCommit); }},
      {"coordinator killed after a commit", [die_at] { return die_at(JournalDisk::Failpoint::kAfterCommit); }},
      {"coordinator killed amid its actions",
       [this] { return w_.coordinator.up() ? (w_.coordinator.KillAmidActions(), true) : false; }},
      {"coordinator stopped for a while",
       [this] {
         if (!w_.coordinator.up() || w_.coordinator.paused()) return false;
         w_.coordinator.Pause();
         w_.timeline.After(AWhile(), [this] { w_.coordinator.Continue(); });
         return true;
       }},
      {"journal's disk full",
       [this] {
         if (w_.journal.full()) return false;
         w_.trace.Say("the journal's disk is full");
         w_.journal.SetFull(true);
         w_.timeline.After(AWhile(), [this] { w_.journal.SetFull(false); });
         return true;
       }},
      {"worker killed",
       [this] {
         WorkerNode* worker = AnyWorker(true);
         if (worker == nullptr) return false;
         worker->Kill(dice_.Chance(0.4));
         const auto index = static_cast<size_t>(std::atoi(worker->id().c_str() + 1));
         StartWorkerLater(index, dice_.Spread(Seconds(0.1), Seconds(120 * pace_)));
         return true;
       }},
      {"worker stopped for a while",
       [this] {
         WorkerNode* worker = AnyWorker(true);
         if (worker == nullptr || worker->paused()) return false;
         worker->Pause();
         w_.timeline.After(AWhile(), [worker] { worker->Continue(); });
         return true;
       }},
      {"worker asked to leave",
       [this] {
         WorkerNode* worker = AnyWorker(true);
         if (worker == nullptr) return false;
         worker->Stop();
         return true;
       }},
      {"connection broken",
       [this] {
         const auto index = static_cast<size_t>(dice_.Below(static_cast<int>(w_.workers.size())));
         w_.trace.Say("the connection of w", index, " breaks");
         w_.network.Break(index);
         return true;
       }},
      {"partition", [this] { return CutLink(true, true); }},
      {"partition to the coordinator only", [this] { return CutLink(true, false); }},
      {"partition from the coordinator only", [this] { return CutLink(false, true); }},
      {"wall clock jumped by an hour",
       [this] {
         w_.trace.Say("the wall clock jumps");
         w_.timeline.JumpWall(dice_.Chance(0.5) ? Seconds(3600) : -Seconds(3600));
         return true;
       }},
  };
}

std::vector<Accidents::Kind> Accidents::TrainerKinds() {
  const auto fail = [this](std::vector<v1::FailureCause> causes) {
    const uint64_t pid = AnyTrainer();
    if (pid == 0 || w_.trainers.at(pid).paused) return false;
    w_.trainers.Fail(pid, causes[static_cast<size_t>(dice_.Below(static_cast<int>(causes.size())))]);
    return true;
  };
  return {
      {"trainer killed",
       [this] {
         const uint64_t pid = AnyTrainer();
         if (pid != 0) w_.trainers.Kill(pid, dice_.Chance(0.5) ? SIGKILL : SIGSEGV);
         return pid != 0;
       }},
      {"trainer stopped for a while",
       [this] {
         const uint64_t pid = AnyTrainer();
         if (pid == 0 || w_.trainers.at(pid).paused) return false;
         w_.trainers.Pause(pid);
         w_.timeline.After(AWhile(), [this, pid] { w_.trainers.Continue(pid); });
         return true;
       }},
      {"trainer stopped for good",
       [this] {
         // Before it trains only start_timeout would find it, and while it prepares nothing does.
         const uint64_t pid = AnyTrainer();
         if (pid == 0 || w_.trainers.at(pid).paused || !w_.trainers.PositionOf(pid).has_value()) return false;
         w_.trainers.Pause(pid);
         return true;
       }},
      {"trainer fails by the user",
       [fail] {
         return fail({v1::FAILURE_CAUSE_OUT_OF_MEMORY, v1::FAILURE_CAUSE_BAD_MODEL, v1::FAILURE_CAUSE_LOSS_COLLAPSE});
       }},
      {"trainer fails by the infrastructure",
       [fail] {
         return fail({v1::FAILURE_CAUSE_DISK_FULL, v1::FAILURE_CAUSE_INTERNAL, v1::FAILURE_CAUSE_UNSPECIFIED});
       }},
      {"disk full for checkpoints",
       [this] {
         w_.trainers.SetDiskFull(true);
         w_.timeline.After(AWhile(), [this] { w_.trainers.SetDiskFull(false); });
         return true;
       }},
      {"no space to publish",
       [this] {
         w_.files.RefuseRenames(dice_.Between(1, 3));
         return true;
       }},
      {"checkpoint damaged", [this] { return DamageNewestCheckpoint(); }},
  };
}

}  // namespace pixelrec::simulator
