// A worker daemon: the decisions are the daemon's own code (worker/agent/: Session, Slot, ReportBuffer, GenerationFence,
// Publish), the wiring between them is that of agent.cc, agent_session.cc and agent_trainer.cc without poll, gRPC and processes.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tests/coordinator/simulator/network.h"
#include "tests/coordinator/simulator/trace.h"
#include "tests/coordinator/simulator/trainers.h"
#include "worker/agent/generation_fence.h"
#include "worker/agent/hang_watch.h"
#include "worker/agent/publisher.h"
#include "worker/agent/report_buffer.h"
#include "worker/agent/session.h"
#include "worker/agent/slot.h"

namespace pixelrec::simulator {

class WorkerNode final : public ClientEnd, public TrainerOwner {
 public:
  // Told of every rename on the coordinator's order.
  class Watch {
   public:
    virtual ~Watch() = default;
    virtual void OnPublished(const v1::CommitArtifact& order, const absl::Status& status) = 0;
  };

  WorkerNode(size_t index, Timeline& timeline, Network& network, SharedFiles& files, Trainers& trainers, Ledger& ledger,
             Trace& trace, Dice dice, Watch& watch);

  void Start();
  // kill -9: its trainer dies with it. `silently`: the machine does.
  void Kill(bool silently);
  // SIGTERM: it lets its trainer end, and says goodbye.
  void Stop();
  void Pause();
  void Continue();

  bool up() const { return daemon_ != nullptr; }
  bool paused() const { return paused_; }
  bool idle() const { return !up() || daemon_->slot.empty(); }
  const std::string& id() const { return id_; }
  // The process has ended, as asked or because a newer one took over; not when killed.
  void OnEnd(std::function<void()> then) { on_end_ = std::move(then); }

  void OnResponse(uint64_t stream, v1::SessionResponse response) override;
  void OnClosed(uint64_t stream, const absl::Status& status) override;
  void OnRoom(uint64_t stream) override;
  void OnTrainerReport(uint64_t pid, v1::TrainerReport report) override;
  void OnTrainerExit(uint64_t pid, int code, int signal) override;

  // Planted faults: a report that is said to have been sent (false), or is changed; a fence that forgets what it started.
  void Tamper(std::function<bool(v1::RankReport&)> with) { tamper_ = std::move(with); }
  void ForgetStarts() { forgets_starts_ = true; }

 private:
  // What dies with the process.
  struct Daemon {
    Daemon(agent::Session::Options session_options, agent::Slot::Options slot_options)
        : session(std::move(session_options)), slot(std::move(slot_options)) {}
    uint64_t incarnation = 0;
    agent::GenerationFence fence;
    agent::ReportBuffer reports;
    agent::Session session;
    agent::Slot slot;
    agent::HangWatch hang_watch;
    agent::FailedOrders failed_orders;
    uint64_t trainer = 0;  // pid
    uint64_t stream = 0;   // 0: none
    std::deque<v1::SessionRequest> outgoing;
    bool orphaned = false, stopping = false;
    std::optional<agent::Time> farewell_until;
    microseconds disk_free_at{0};
    std::deque<Timeline::Task> backlog;  // what came while it stood still
    std::optional<microseconds> wakes_at;
  };

  // In the daemon's loop: one event, then what is due, then writes. Nothing of it once the process is another.
  void Post(std::function<void()> event);
  void Loop(const std::function<void()>& event);
  void DoWhatIsDue();
  void ScheduleWake();
  void SendBeat(uint64_t number);
  bool Finished() const;
  void BeginStop();

  void Open();
  void Drop();
  void Register();
  void WriteNext();
  void Handle(const v1::SessionResponse& response);
  bool Admit(const std::string& job_id, uint64_t generation);
  void OnStartRank(const v1::StartRank& order);
  void OnCommit(const v1::CommitArtifact& order);

  void Do(agent::SlotActions actions);
  void OnDisk(microseconds duration, std::function<void()> task);
  agent::Time Now() const { return agent::Time(timeline_.now()); }

  const size_t index_;
  const std::string id_;
  Timeline& timeline_;
  Network& network_;
  SharedFiles& files_;
  Trainers& trainers_;
  Ledger& ledger_;
  Trace& trace_;
  Dice dice_;
  Watch& watch_;

  std::unique_ptr<Daemon> daemon_;
  uint64_t life_ = 0;
  bool paused_ = false;
  bool forgets_starts_ = false;
  std::function<void()> on_end_;
  std::function<bool(v1::RankReport&)> tamper_;
};

}  // namespace pixelrec::simulator
