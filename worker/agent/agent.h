// The worker daemon: one loop that holds the session with the coordinator and runs one trainer at a time.
//
// The decisions are elsewhere and pure (Session, Slot, ReportBuffer, GenerationFence); this class is the wiring: poll, gRPC,
// processes.
//
// Threads: Run() occupies one, which spawns the trainers and must therefore live as long as they. RequestStop() from any. gRPC's
// threads and the disk thread only post into the inbox.
//
//   auto agent = agent::Agent::Create(std::move(options));
//   absl::Status status = (*agent)->Run();   // until a stop signal, or until a newer worker of the same id takes over
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <prometheus/registry.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/daemon_config.h"
#include "common/process/signals.h"
#include "common/rpc/channel.h"
#include "pixelrec/v1/worker_service.grpc.pb.h"
#include "worker/agent/allowed_paths.h"
#include "worker/agent/generation_fence.h"
#include "worker/agent/hang_watch.h"
#include "worker/agent/inbox.h"
#include "worker/agent/publisher.h"
#include "worker/agent/rank_logs.h"
#include "worker/agent/report_buffer.h"
#include "worker/agent/run_metrics.h"
#include "worker/agent/session.h"
#include "worker/agent/session_stream.h"
#include "worker/agent/slot.h"
#include "worker/agent/spare_trainer.h"
#include "worker/agent/task_thread.h"
#include "worker/agent/trainer_process.h"

namespace pixelrec::agent {

class Agent {
 public:
  struct Options {
    config::WorkerConfig config;  // worker_id and trainer filled in
    std::string visible_gpu;      // what its trainers see of the GPUs (visible_gpu.h)
    std::string version;
    std::string metrics_address;
    uint64_t incarnation = 0;                    // microseconds of the wall clock at start
    prometheus::Registry* registry = nullptr;    // outlives the agent
    process::StopSignal* stop_signal = nullptr;  // null: RequestStop only
    std::function<void(absl::string_view)> log = [](absl::string_view) {};
    // Once: registered, or the coordinator isn't there (then it keeps trying).
    std::function<void()> on_ready = [] {};
    std::chrono::milliseconds stop_grace{30'000};     // StopTraining -> SIGKILL where no order says how long
    std::chrono::milliseconds farewell{2'000};        // for the last reports to be acknowledged before leaving
    std::chrono::milliseconds metrics_grace{60'000};  // a run's series outlive it by this
    std::function<Time()> now = [] { return std::chrono::steady_clock::now(); };
    std::function<double()> wall = [] {
      return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    };
  };

  // PERMISSION_DENIED, RESOURCE_EXHAUSTED, ...: work_dir can't be written. NOT_FOUND: no trainer program. INVALID_ARGUMENT: the
  // coordinator's address is malformed. FAILED_PRECONDITION and others: as rpc::Dialer::Create().
  static absl::StatusOr<std::unique_ptr<Agent>> Create(Options options);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // OK: stopped as asked. ABORTED: a newer worker of the same id has registered; the trainer is dead by then.
  absl::Status Run();
  // Ends the trainer (StopTraining, then SIGKILL), sends the last reports, ends Run. Again: kills at once.
  void RequestStop();

 private:
  Agent(Options options, std::unique_ptr<rpc::Dialer> dialer);

  // agent.cc: the loop.
  void DoWhatIsDue();
  void WaitForEvents();
  int PollTimeout() const;
  void SendBeat(uint64_t number);
  // Of the trainer that runs, if it has begun to work.
  std::optional<channel::Position> TrainerPosition() const;
  bool Finished() const;
  void BeginStop();

  // agent_session.cc: the coordinator's side.
  void Open();
  void Drop();
  void OnStreamClosed(const absl::Status& status);
  void Enqueue(v1::SessionRequest request);
  void WriteNext();
  void Register();
  void OnResponse(const v1::SessionResponse& response);
  bool Admit(const std::string& job_id, uint64_t generation, absl::string_view what);
  void OnStartRank(v1::StartRank order);
  void OnCommit(const v1::CommitArtifact& order);
  void OnPublished(const v1::CommitArtifact& order, const Publication& publication);
  void OnReadLog(const v1::ReadLog& request);
  void Ready();

  // agent_trainer.cc: the trainer's side.
  void Do(SlotActions actions);
  void PrepareRank(const v1::StartRank& order);
  absl::StatusOr<std::unique_ptr<TrainerProcess>> StartSpare();
  absl::StatusOr<std::unique_ptr<TrainerProcess>> TrainerFor(const v1::StartRank& order);
  void Spawn(const v1::StartRank& order);
  void OnTrainerReadable(size_t limit_bytes);
  void OnTrainerExited();

  const Options options_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();  // owners: this, every stream
  const std::unique_ptr<rpc::Dialer> dialer_;
  const AllowedPaths allowed_;
  const RankLogs logs_;
  FailedOrders failed_orders_;  // the disk thread's alone

  GenerationFence fence_;
  ReportBuffer reports_;
  Session session_;
  Slot slot_;
  HangWatch hang_watch_;
  RunMetrics metrics_;
  std::unique_ptr<TrainerProcess> trainer_;
  SpareTrainer spare_;

  std::unique_ptr<v1::WorkerService::StubInterface> stub_;  // of the newest attempt
  SessionStream* stream_ = nullptr;                         // deletes itself after Release
  int live_streams_ = 0;                                    // also those given up that gRPC still works on
  uint64_t stream_number_ = 0;                              // events of any other stream are late and ignored
  std::deque<v1::SessionRequest> outgoing_;                 // before the reports
  bool ready_ = false;
  bool said_unreachable_ = false;
  bool orphaned_ = false;
  bool stopping_ = false;
  std::optional<Time> farewell_until_;
  absl::Status result_;

  TaskThread disk_;  // last: its tasks use what stands above
};

}  // namespace pixelrec::agent
