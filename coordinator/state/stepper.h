// Inside of step.h: one step in progress. Its member functions lie in the file named after their idea: submit.cc, workers.cc,
// ownership.cc, pause.cc, deletion.cc, drain.cc, reports.cc, gangs.cc, hang.cc, stop.cc, time_limit.cc, damaged_checkpoint.cc,
// schedule.cc, preempt.cc, elastic.cc, retention.cc.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "coordinator/state/event.h"
#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

// Of a change of state, beside its reason.
struct ChangeFacts {
  int ranks = 0;  // of a generation that starts
  int64_t from_step = 0;
  std::string preempted_by = {};
};

class Stepper {
 public:
  Stepper(State& state, Now now, Outcome& outcome) : state_(state), now_(now), outcome_(outcome) {}

  // submit.cc
  void On(const Submit& submit);
  void On(const Cancel& cancel);
  // pause.cc
  void On(const PauseJob& pause);
  void On(const ResumeJob& resume);
  // deletion.cc
  void On(const DeleteJob& request);
  // drain.cc
  void On(const DrainWorker& drain);
  void On(const UndrainWorker& undrain);
  // workers.cc
  void On(const WorkerRegistered& registered);
  void On(const WorkerBeat& beat);
  void On(const WorkerDisconnected& disconnected);
  void On(const Tick& tick);
  // reports.cc
  void On(const RankReported& reported);

  // Consequences of the event: gangs that are over, jobs that can start; then the records of what changed.
  void Finish();
  bool changed_jobs() const { return !dirty_.empty(); }

 private:
  // step.cc: access that remembers how it was.
  JobEntry& Touch(uint64_t number);
  WorkerEntry& TouchWorker(const std::string& id);
  WorkerRecord& TouchWorkerRecord(const std::string& id);
  void Reindex(uint64_t number);
  JobEntry* FindById(const std::string& job_id);
  void Send(const WorkerEntry& worker, v1::SessionResponse message);
  // To the job's history: stamps sequence, time, job and generation on the event's body.
  void Append(JobEntry& entry, v1::JobEvent event);
  void Tell(JobEntry& entry, const std::string& notice, v1::NoticeSeverity severity = v1::NOTICE_SEVERITY_INFO);
  void SetState(JobEntry& entry, v1::JobState to, const std::string& reason, const ChangeFacts& facts = {});

  // hang.cc
  void NotePositions(const WorkerEntry& worker, const std::vector<v1::RankPosition>& positions);
  void JudgeGang(JobEntry& found, int32_t reporter);

  // deletion.cc
  Deletion Forget(uint64_t number, const std::string& request_id, const std::string& by);
  // retention.cc
  void ForgetOldJobs();
  // ownership.cc: false, and refused: it is another's.
  bool MayChange(const JobEntry& entry, const Caller& by);
  absl::Status CheckOutputOwner(const Submit& submit) const;

  // workers.cc
  void Lose(const std::string& worker_id, const std::string& why);
  void LoseRank(WorkerEntry& worker, const RankKey& key, const std::string& why);
  void Reconcile(WorkerEntry& worker, const std::set<RankKey>& running);
  void Resend(WorkerEntry& worker, JobEntry& entry, GangRank& rank, bool running);

  // reports.cc
  void OnTrainer(JobEntry& entry, GangRank& rank, WorkerEntry& worker, const v1::TrainerReport& report);
  void OnExited(JobEntry& entry, GangRank& rank, WorkerEntry& worker, const v1::RankExited& exited);
  void OnStaged(JobEntry& entry, GangRank& rank, WorkerEntry& worker, v1::Artifact artifact);
  void OnPublished(JobEntry& entry, const v1::Artifact& artifact);
  void OnPublishFailed(JobEntry& entry, GangRank& rank, const v1::Failure& failure);
  void OnPrepared(JobEntry& entry, GangRank& rank, const v1::DatasetPrepared& prepared);
  void OnStoreOpened(JobEntry& entry, GangRank& rank, WorkerEntry& worker, v1::Rendezvous rendezvous);
  void OnStarted(JobEntry& entry, GangRank& rank, int64_t from_step);
  void OnEpoch(JobEntry& entry, const v1::EpochResult& result);
  void OnStale(WorkerEntry& worker, const v1::RankReport& report);
  void Ack(const WorkerEntry& worker, const v1::RankReport& report, uint64_t sequence);

  // gangs.cc
  void StartGang(JobEntry& entry, v1::TrainerRole role, const std::vector<std::string>& worker_ids);
  void SendStart(JobEntry& entry, const GangRank& rank, const WorkerEntry& worker);
  void SendCommit(const JobEntry& entry, int32_t rank, const WorkerEntry& worker, const v1::Artifact& artifact);
  void SendStop(const JobEntry& entry, const GangRank& rank, bool now);
  void StopAll(JobEntry& entry, bool now, const GangRank* except = nullptr);
  // `rank` is the one to blame. `ends_itself`: it has said so, and isn't killed at once.
  void FailGang(JobEntry& entry, const GangRank* rank, v1::Failure failure, bool ends_itself = false);
  void SettleDeadlines(JobEntry& entry);
  void SettleGang(JobEntry& entry);
  void EndGang(JobEntry& entry);
  void EndSucceeded(JobEntry& entry);
  void EndFailedGang(JobEntry& entry);
  void EndJob(JobEntry& entry, v1::JobState to, const std::string& reason);

  // stop.cc: generations that are asked to end early, through nobody's failure.
  void AskToStop(JobEntry& entry, StopCause cause, const std::string& by, const std::string& why);
  void BreakStop(JobEntry& entry, const GangRank* rank, v1::Failure failure);
  void EndStoppedGang(JobEntry& entry);
  void EndPaused(JobEntry& entry);

  // drain.cc
  void SetDrain(const std::string& worker_id, v1::DrainMode mode, const std::string& request_id);
  void MoveFrom(uint64_t number, const std::string& worker_id);

  // time_limit.cc
  void CountRunTime(JobEntry& entry);
  void SettleTimeLimit(JobEntry& entry);
  void EndOverTime(JobEntry& entry);

  // damaged_checkpoint.cc: of a gang that could not go on from its checkpoint; false: it isn't one of the job's.
  bool FallBack(JobEntry& entry);

  // schedule.cc
  void Schedule();
  void StartWaiting();
  bool BacksOff(uint64_t number) const;
  void Start(JobEntry& entry, const std::vector<const WorkerEntry*>& choices, int most);
  void Park();

  // preempt.cc
  enum class Room { kMade, kNotNeeded, kOutOfReach };
  bool Preempt();  // true: somebody was asked to make room
  Room MakeRoom(uint64_t number, std::vector<const JobEntry*>& victims);
  void Evict(uint64_t victim, JobEntry& preemptor);
  void EndPreempted(JobEntry& entry);

  // elastic.cc
  void Grow();
  bool MayGrow(const JobEntry& entry) const;
  bool IsSettled(const WorkerEntry& worker) const;
  void AskToGrow(JobEntry& entry, const std::vector<const WorkerEntry*>& more);
  bool GoesOnWithoutHost(JobEntry& entry);

  State& state_;
  const Now now_;
  Outcome& outcome_;
  // Something that decides who may start has changed.
  bool due_ = false;
  std::set<uint64_t> dirty_;
  std::set<std::string> dirty_workers_;
  std::vector<Record> events_;
};

GangRank* FindRank(JobEntry& entry, int32_t rank, const WorkerEntry& worker);

// The newest of a bounded list of request ids, so that a repeat has no second effect. An empty id is none.
using RequestIds = google::protobuf::RepeatedPtrField<std::string>;
bool Contains(const RequestIds& ids, const std::string& id);
void Remember(RequestIds& ids, const std::string& id);

}  // namespace pixelrec::coordinator
