#include "tests/coordinator/simulator/trainers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/simulator/gang.h"

namespace pixelrec::simulator {

namespace {

// From a write to a socket, or a death, to the worker's loop.
constexpr microseconds kToWorker{100};

std::string Name(const Trainer& trainer) {
  return absl::StrCat(trainer.order.job_id(), "/g", trainer.order.generation(), " rank ", trainer.rank(), " on w",
                      trainer.worker);
}

}  // namespace

Trainers::Trainers(Timeline& timeline, Trace& trace, Dice dice, const Workload& workload, SharedFiles& files, Ledger& ledger,
                   TrainerWatch& watch)
    : timeline_(timeline), trace_(trace), dice_(dice), workload_(workload), files_(files), ledger_(ledger), watch_(watch) {}

Trainer* Trainers::Find(uint64_t pid) {
  auto it = trainers_.find(pid);
  return it == trainers_.end() ? nullptr : it->second.get();
}

std::vector<uint64_t> Trainers::alive() const {
  std::vector<uint64_t> pids;
  for (const auto& [pid, trainer] : trainers_) pids.push_back(pid);
  return pids;
}

std::string Trainers::Staging(const Trainer& trainer, const std::string& name) const {
  const std::string generation = share_staging_ ? "g0" : absl::StrCat("g", trainer.order.generation());
  return absl::StrCat(trainer.order.plan().spec().output_dir(), "/.staging/", generation, "/", name);
}

uint64_t Trainers::Spawn(size_t worker, TrainerOwner* owner, const v1::StartRank& order) {
  const auto other = std::find_if(trainers_.begin(), trainers_.end(), [&](const auto& t) { return t.second->worker == worker; });
  watch_.OnSpawn(worker, order, other == trainers_.end() ? nullptr : other->second.get());
  const uint64_t pid = ++last_pid_;
  Trainer& trainer = *(trainers_[pid] = std::make_unique<Trainer>());
  trainer.pid = pid;
  trainer.worker = worker;
  trainer.owner = owner;
  trainer.order = order;
  const bool prepares = order.plan().role() == v1::TRAINER_ROLE_PREPARE;
  ledger_.Enter(worker, prepares ? Bucket::kPrepare : Bucket::kInit, trainer.gang_id());
  const Nature& nature = workload_.Of(order.plan().spec().name());
  if (!prepares) {
    std::shared_ptr<Gang>& gang = gangs_[trainer.gang_id()];
    if (gang == nullptr) gang = std::make_shared<Gang>(*this, order, nature);
    trainer.gang = gang;
    gang->Add(trainer);
  }
  Later(trainer, nature.start, [this](Trainer& t) { Begin(t); });
  return pid;
}

void Trainers::Later(Trainer& trainer, microseconds delay, std::function<void(Trainer&)> task) {
  timeline_.After(delay, [this, pid = trainer.pid, task = std::move(task)] {
    Trainer* found = Find(pid);
    if (found == nullptr) return;
    if (found->paused) {
      found->when_resumed.push_back([this, pid, task] {
        if (Trainer* resumed = Find(pid)) task(*resumed);
      });
    } else {
      task(*found);
    }
  });
}

void Trainers::Begin(Trainer& trainer) {
  v1::TrainerReport hello;
  hello.mutable_hello()->set_pid(static_cast<int64_t>(trainer.pid));
  Report(trainer, std::move(hello));
  if (trainer.gang == nullptr) {
    Later(trainer, workload_.Of(trainer.order.plan().spec().name()).prepare, [this](Trainer& t) { Prepare(t); });
    return;
  }
  trainer.ready = true;
  if (trainer.rank() == 0 && trainer.order.plan().world_size() > 1) {
    v1::TrainerReport opened;
    opened.mutable_store_opened()->set_host("10.0.0.1");
    opened.mutable_store_opened()->set_port(static_cast<int32_t>(trainer.pid));
    Report(trainer, std::move(opened));
  }
  if (trainer.rank() == 0 || trainer.met) trainer.gang->OnJoined(trainer);
}

void Trainers::Prepare(Trainer& trainer) {
  const Nature& nature = workload_.Of(trainer.order.plan().spec().name());
  const std::string host = absl::StrCat("host-", trainer.worker / 2);
  if (nature.bad_data || nature.unfit_host == host) return Fail(trainer.pid, v1::FAILURE_CAUSE_BAD_DATA);
  v1::TrainerReport report;
  report.mutable_dataset_prepared()->set_data_hash(absl::StrCat("hash of ", trainer.order.plan().spec().name()));
  Report(trainer, std::move(report));
  Exit(trainer, 0, 0);
}

void Trainers::Tell(uint64_t pid, const v1::TrainerCommand& command) {
  Trainer* trainer = Find(pid);
  if (trainer == nullptr || command.has_plan()) return;
  Later(*trainer, kToWorker, [this, command](Trainer& t) {
    if (command.has_stop()) {
      t.stop = true;
      t.stop_with_checkpoint = command.stop().checkpoint();
      if (t.gang != nullptr) t.gang->OnStop();
    } else if (command.has_rendezvous() && !std::exchange(t.met, true)) {
      if (t.ready && t.rank() != 0) t.gang->OnJoined(t);
    } else if (command.has_artifact_committed()) {
      t.committed.insert({command.artifact_committed().path(), command.artifact_committed().step()});
      if (t.gang != nullptr) t.gang->OnCommitted();
    }
  });
}

void Trainers::Report(Trainer& trainer, v1::TrainerReport report) {
  report.set_job_id(trainer.order.job_id());
  report.set_generation(trainer.order.generation());
  report.set_rank(trainer.rank());
  timeline_.After(kToWorker, [owner = trainer.owner, pid = trainer.pid, report = std::move(report)]() mutable {
    owner->OnTrainerReport(pid, std::move(report));
  });
}

// Numbered, so that one which got lost or came twice would show in the job's history.
void Trainers::Note(Trainer& trainer) {
  v1::TrainerReport report;
  report.mutable_notice()->set_rank(trainer.rank());
  report.mutable_notice()->set_text(absl::StrCat("note ", ++trainer.notes));
  Report(trainer, std::move(report));
}

void Trainers::Exit(Trainer& trainer, int code, int signal) {
  trace_.Say(Name(trainer), signal != 0 ? " is killed by signal " : " exits with ", signal != 0 ? signal : code);
  timeline_.After(kToWorker,
                  [owner = trainer.owner, pid = trainer.pid, code, signal] { owner->OnTrainerExit(pid, code, signal); });
  Orphan(trainer.pid);
}

void Trainers::Kill(uint64_t pid, int signal) {
  if (Trainer* trainer = Find(pid)) Exit(*trainer, -1, signal);
}

void Trainers::Orphan(uint64_t pid) {
  const auto node = trainers_.extract(pid);
  if (node.empty()) return;
  Trainer& trainer = *node.mapped();
  ledger_.Enter(trainer.worker, Bucket::kStopping);
  if (trainer.gang != nullptr) trainer.gang->OnGone(trainer);
}

void Trainers::Fail(uint64_t pid, v1::FailureCause cause) {
  Trainer* trainer = Find(pid);
  if (trainer == nullptr) return;
  if (cause != v1::FAILURE_CAUSE_UNSPECIFIED) {
    v1::TrainerReport report;
    report.mutable_failure()->set_cause(cause);
    report.mutable_failure()->set_message(v1::FailureCause_Name(cause));
    if (cause == v1::FAILURE_CAUSE_CHECKPOINT_DAMAGED) {
      report.mutable_failure()->set_checkpoint(trainer->order.plan().resume_from().path());
    }
    Report(*trainer, std::move(report));
    trace_.Say(Name(*trainer), " fails: ", v1::FailureCause_Name(cause));
  }
  Exit(*trainer, 1, 0);
}

void Trainers::Pause(uint64_t pid) {
  Trainer* trainer = Find(pid);
  if (trainer == nullptr || std::exchange(trainer->paused, true)) return;
  trainer->paused_since = timeline_.now();
  watch_.OnPause(*trainer);
  trace_.Say(Name(*trainer), " stands still");
  if (trainer->gang != nullptr) trainer->gang->OnPaused();
}

std::optional<channel::Position> Trainers::PositionOf(uint64_t pid) const {
  const auto found = trainers_.find(pid);
  if (found == trainers_.end() || found->second->gang == nullptr) return std::nullopt;
  return found->second->gang->PositionOf(*found->second);
}

void Trainers::Continue(uint64_t pid) {
  Trainer* trainer = Find(pid);
  if (trainer == nullptr || !std::exchange(trainer->paused, false)) return;
  trace_.Say(Name(*trainer), " goes on");
  const std::vector<Timeline::Task> due = std::exchange(trainer->when_resumed, {});
  if (trainer->gang != nullptr) {
    const std::shared_ptr<Gang> gang = trainer->gang;
    gang->OnContinued();
  }
  for (const Timeline::Task& task : due) task();
}

}  // namespace pixelrec::simulator
