#include "tests/coordinator/simulator/worker_node.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "common/rpc/status.h"
#include "worker/agent/publisher.h"

namespace pixelrec::simulator {

using agent::Session;

namespace {

constexpr std::chrono::seconds kFarewell{2};

const agent::AllowedPaths& AllPaths() {
  static const auto& all = *new agent::AllowedPaths({});
  return all;
}

}  // namespace

WorkerNode::WorkerNode(size_t index, Timeline& timeline, Network& network, SharedFiles& files, Trainers& trainers, Ledger& ledger,
                       Trace& trace, Dice dice, Watch& watch)
    : index_(index),
      id_(absl::StrCat("w", index)),
      timeline_(timeline),
      network_(network),
      files_(files),
      trainers_(trainers),
      ledger_(ledger),
      trace_(trace),
      dice_(dice),
      watch_(watch) {}

void WorkerNode::Start() {
  ++life_;
  paused_ = false;
  daemon_ = std::make_unique<Daemon>(Session::Options{.random = [this] { return dice_.Uniform(); }},
                                     agent::Slot::Options{.worker_id = id_});
  daemon_->incarnation = static_cast<uint64_t>(timeline_.wall().count());
  ledger_.Enter(index_, Bucket::kIdle);
  trace_.Say(id_, " starts");
  Loop([] {});
}

void WorkerNode::Kill(bool silently) {
  if (!up()) return;
  trace_.Say(id_, " dies", silently ? " with its machine" : "");
  ++life_;
  const uint64_t trainer = daemon_->trainer;
  daemon_.reset();
  paused_ = false;
  network_.ClientDied(index_, silently);
  if (trainer != 0) trainers_.Orphan(trainer);
  ledger_.Enter(index_, Bucket::kAway);
}

void WorkerNode::Stop() {
  Post([this] { BeginStop(); });
}

void WorkerNode::Pause() {
  if (!up() || std::exchange(paused_, true)) return;
  trace_.Say(id_, " stands still");
}

void WorkerNode::Continue() {
  if (!up() || !std::exchange(paused_, false)) return;
  trace_.Say(id_, " goes on");
  const uint64_t life = life_;
  for (std::deque<Timeline::Task> backlog = std::exchange(daemon_->backlog, {}); !backlog.empty() && life == life_;) {
    Loop(backlog.front());
    backlog.pop_front();
  }
  if (life == life_) Loop([] {});
}

void WorkerNode::Post(std::function<void()> event) {
  if (!up()) return;
  if (paused_) {
    daemon_->backlog.push_back(std::move(event));
  } else {
    Loop(event);
  }
}

// As Agent::Run.
void WorkerNode::Loop(const std::function<void()>& event) {
  event();
  DoWhatIsDue();
  WriteNext();
  if (!Finished()) return ScheduleWake();
  trace_.Say(id_, " ends");
  ++life_;
  if (daemon_->trainer != 0) trainers_.Orphan(daemon_->trainer);
  daemon_.reset();
  network_.ClientDied(index_, false);
  ledger_.Enter(index_, Bucket::kAway);
  if (on_end_ != nullptr) on_end_();
}

bool WorkerNode::Finished() const {
  if (!daemon_->stopping || !daemon_->slot.empty()) return false;
  return daemon_->reports.empty() || daemon_->session.state() != Session::State::kRegistered ||
         (daemon_->farewell_until.has_value() && Now() >= *daemon_->farewell_until);
}

void WorkerNode::BeginStop() {
  trace_.Say(id_, " is to stop");
  daemon_->stopping = true;
  Do(daemon_->slot.StopFor("the worker is stopping", /*leaving=*/true, Now()));
}

void WorkerNode::DoWhatIsDue() {
  Daemon& d = *daemon_;
  if (d.stopping && d.slot.empty() && !d.farewell_until.has_value()) d.farewell_until = Now() + kFarewell;
  const Session::Step step = d.session.Tick(Now());
  if (step.drop) {
    trace_.Say(id_, " finds the coordinator silent");
    Drop();
    d.session.OnClosed(Now());
  }
  if (step.open) Open();
  if (step.beat != 0) {
    SendBeat(step.beat);
  } else if (const auto due = d.hang_watch.Due(trainers_.PositionOf(d.trainer));
             due.has_value() && Now() >= *due && d.session.state() == Session::State::kRegistered) {
    SendBeat(d.session.NextBeat());
  }
  const std::optional<agent::Time> lost = d.session.lost_since();
  if (lost.has_value() && Now() >= *lost + d.session.orphan_grace() && !d.slot.empty() && !std::exchange(d.orphaned, true)) {
    trace_.Say(id_, " is orphaned");
    Do(d.slot.StopFor("the coordinator could not be reached for too long", /*leaving=*/false, Now()));
  }
  Do(d.slot.Tick(Now()));
}

void WorkerNode::SendBeat(uint64_t number) {
  Daemon& d = *daemon_;
  v1::SessionRequest request;
  request.mutable_beat()->set_number(number);
  if (const auto position = trainers_.PositionOf(d.trainer); position.has_value()) {
    v1::RankPosition& told = *request.mutable_beat()->add_positions();
    told = agent::ToProto(d.slot.key(), *position, Now());
    told.set_process_stopped(trainers_.at(d.trainer).paused);
    const auto due = d.hang_watch.Due(position);
    if (due.has_value() && Now() >= *due) d.hang_watch.OnTold(position);
  }
  d.outgoing.push_back(std::move(request));
  WriteNext();
}

void WorkerNode::ScheduleWake() {
  Daemon& d = *daemon_;
  agent::Time due = d.session.NextDue();
  const auto sooner = [&due](std::optional<agent::Time> time) { due = std::min(due, time.value_or(due)); };
  sooner(d.slot.NextDue());
  if (d.session.state() == Session::State::kRegistered) sooner(d.hang_watch.Due(trainers_.PositionOf(d.trainer)));
  sooner(d.farewell_until);
  if (d.session.lost_since().has_value() && !d.slot.empty() && !d.orphaned)
    sooner(*d.session.lost_since() + d.session.orphan_grace());
  const microseconds at = std::max(std::chrono::ceil<microseconds>(due.time_since_epoch()), timeline_.now());
  if (d.wakes_at.has_value() && *d.wakes_at <= at) return;
  d.wakes_at = at;
  timeline_.At(at, [this, at, life = life_] {
    if (life != life_ || daemon_->wakes_at != at) return;
    daemon_->wakes_at.reset();
    if (!paused_) Loop([] {});
  });
}

void WorkerNode::Open() {
  daemon_->outgoing.clear();
  daemon_->stream = network_.Dial(index_);
  Register();
}

void WorkerNode::Drop() {
  daemon_->outgoing.clear();
  if (daemon_->stream != 0) network_.Cancel(std::exchange(daemon_->stream, 0));
}

void WorkerNode::OnClosed(uint64_t stream, const absl::Status& status) {
  Post([this, stream, status] {
    Daemon& d = *daemon_;
    if (stream != d.stream) return;
    d.stream = 0;
    d.session.OnClosed(Now());
    trace_.Say(id_, " has no session any more: ", status.ToString());
    if (absl::IsAborted(status) && rpc::ReasonOf(status) == rpc::kStaleIncarnation) {
      d.stopping = true;
      Do(d.slot.StopFor("a newer worker took over", /*leaving=*/true, Now()));
      if (d.trainer != 0) trainers_.Kill(d.trainer, SIGKILL);
    }
  });
}

void WorkerNode::Register() {
  v1::SessionRequest request;
  v1::RegisterWorker& worker = *request.mutable_register_();
  worker.set_host(absl::StrCat("host-", index_ / 2));
  worker.set_advertise_address("10.0.0.1");
  if (const std::optional<v1::RunningRank> running = daemon_->slot.running()) *worker.add_running() = *running;
  daemon_->outgoing.push_back(std::move(request));
  WriteNext();
}

void WorkerNode::OnRoom(uint64_t stream) {
  if (up() && stream == daemon_->stream) Post([this] { WriteNext(); });
}

void WorkerNode::WriteNext() {
  Daemon& d = *daemon_;
  while (d.stream != 0 && network_.CanSend(d.stream)) {
    v1::SessionRequest request;
    if (!d.outgoing.empty()) {
      request = std::move(d.outgoing.front());
      d.outgoing.pop_front();
    } else if (d.session.state() == Session::State::kRegistered) {
      std::optional<v1::RankReport> report = d.reports.TakeNext();
      if (!report.has_value()) return;
      if (tamper_ != nullptr && !tamper_(*report)) continue;
      *request.mutable_rank_report() = *std::move(report);
    } else {
      return;
    }
    request.set_worker_id(id_);
    request.set_incarnation(d.incarnation);
    network_.SendRequest(d.stream, std::move(request));
  }
}

void WorkerNode::OnResponse(uint64_t stream, v1::SessionResponse response) {
  Post([this, stream, response = std::move(response)] {
    if (stream == daemon_->stream) Handle(response);
  });
}

void WorkerNode::Handle(const v1::SessionResponse& response) {
  Daemon& d = *daemon_;
  d.session.OnHeard(Now());
  switch (response.body_case()) {
    case v1::SessionResponse::kRegistered:
      d.session.OnRegistered(response.registered(), Now());
      d.hang_watch.OnRegistered(response.registered());
      d.reports.Rewind();
      d.orphaned = false;
      trace_.Say(id_, " is registered");
      break;
    case v1::SessionResponse::kStartRank:
      OnStartRank(response.start_rank());
      break;
    case v1::SessionResponse::kStopRank:
      if (Admit(response.stop_rank().job_id(), response.stop_rank().generation())) Do(d.slot.OnStop(response.stop_rank(), Now()));
      break;
    case v1::SessionResponse::kSetRendezvous:
      if (Admit(response.set_rendezvous().job_id(), response.set_rendezvous().generation())) {
        Do(d.slot.OnRendezvous(response.set_rendezvous()));
      }
      break;
    case v1::SessionResponse::kCommitArtifact:
      OnCommit(response.commit_artifact());
      break;
    case v1::SessionResponse::kReportAck:
      d.reports.Acknowledge(response.report_ack());
      break;
    default:
      break;
  }
}

bool WorkerNode::Admit(const std::string& job_id, uint64_t generation) {
  switch (daemon_->fence.Admit(job_id, generation)) {
    case agent::GenerationFence::Verdict::kOlder:
      return false;
    case agent::GenerationFence::Verdict::kNewer:
      daemon_->reports.ForgetOlder(job_id, generation);
      return true;
    case agent::GenerationFence::Verdict::kCurrent:
      return true;
  }
  return false;
}

void WorkerNode::OnStartRank(const v1::StartRank& order) {
  if (!Admit(order.job_id(), order.generation())) return;
  if (!daemon_->fence.MarkStarted(order.job_id()) && !forgets_starts_) return;
  Do(daemon_->slot.OnStart(order));
}

void WorkerNode::OnCommit(const v1::CommitArtifact& order) {
  if (!Admit(order.job_id(), order.generation())) return;
  OnDisk(dice_.Spread(Seconds(0.0005), Seconds(0.5)), [this, order] {
    if (daemon_->failed_orders.Contains(order)) return;
    const agent::Publication publication = agent::Publish(order, AllPaths(), files_);
    if (!publication.status.ok()) daemon_->failed_orders.Add(order);
    watch_.OnPublished(order, publication.status);
    timeline_.After(microseconds(50), [this, order, publication, life = life_] {
      if (life != life_) return;
      Post([this, order, publication] {
        v1::RankReport report;
        agent::SetKey(agent::KeyOf(order), report);
        if (publication.status.ok()) {
          *report.mutable_artifact_published() = order.artifact();
          Do(daemon_->slot.OnCommitted(agent::KeyOf(order), order.artifact()));
        } else {
          *report.mutable_publish_failed() = agent::PublishFailure(publication.status);
          report.mutable_publish_failed()->set_checkpoint(order.artifact().path());
        }
        Do({agent::Deliver{std::move(report)}});
      });
    });
  });
}

void WorkerNode::Do(agent::SlotActions actions) {
  for (agent::SlotAction& action : actions) {
    if (auto* prepare = std::get_if<agent::PrepareRank>(&action)) {
      const agent::RankKey key{prepare->order.job_id(), prepare->order.generation(), prepare->order.plan().rank()};
      ledger_.Enter(index_, Bucket::kInit);
      OnDisk(dice_.Between(Seconds(0.0005), Seconds(0.005)), [this, key] {
        timeline_.After(microseconds(50), [this, key, life = life_] {
          if (life == life_) Post([this, key] { Do(daemon_->slot.OnPrepared(key, std::nullopt)); });
        });
      });
    } else if (auto* spawn = std::get_if<agent::SpawnTrainer>(&action)) {
      daemon_->trainer = trainers_.Spawn(index_, this, spawn->order);
      daemon_->slot.OnSpawned(static_cast<pid_t>(daemon_->trainer));
    } else if (auto* tell = std::get_if<agent::TellTrainer>(&action)) {
      trainers_.Tell(daemon_->trainer, tell->command);
    } else if (std::holds_alternative<agent::KillTrainer>(action)) {
      trainers_.Kill(daemon_->trainer, SIGKILL);
    } else {
      daemon_->reports.Add(std::move(std::get<agent::Deliver>(action).report));
    }
  }
  if (daemon_->slot.empty() && !actions.empty()) ledger_.Enter(index_, Bucket::kIdle);
}

// The disk thread does one thing after the other, and stands still with its process.
void WorkerNode::OnDisk(microseconds duration, std::function<void()> task) {
  daemon_->disk_free_at = std::max(daemon_->disk_free_at, timeline_.now()) + duration;
  timeline_.At(daemon_->disk_free_at, [this, task = std::move(task), life = life_] {
    if (life == life_) Post(task);
  });
}

void WorkerNode::OnTrainerReport(uint64_t pid, v1::TrainerReport report) {
  if (!up() || pid != daemon_->trainer) return;
  Post([this, pid, report = std::move(report)]() mutable {
    Daemon& d = *daemon_;
    if (pid != d.trainer || d.fence.IsOlder(d.slot.key().job_id, d.slot.key().generation)) return;
    Do(d.slot.OnReport(std::move(report)));
  });
}

void WorkerNode::OnTrainerExit(uint64_t pid, int code, int signal) {
  if (!up() || pid != daemon_->trainer) return;
  Post([this, pid, code, signal] {
    if (pid != daemon_->trainer) return;
    daemon_->trainer = 0;
    Do(daemon_->slot.OnExited({.code = code, .signal = signal}, ""));
  });
}

}  // namespace pixelrec::simulator
