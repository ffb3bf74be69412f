// What must hold whatever happens, checked after every event (docs/reliability.md says it in words). The first promise that is
// broken ends the run.
//
// Follows the journal's records, so that only what is durable counts, and sees what trainers and workers do to the shared files.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "coordinator/state/state.h"
#include "tests/coordinator/simulator/coordinator_node.h"
#include "tests/coordinator/simulator/journal_disk.h"
#include "tests/coordinator/simulator/worker_node.h"

namespace pixelrec::simulator {

class Promises final : public CoordinatorNode::Observer, public TrainerWatch, public WorkerNode::Watch {
 public:
  Promises(const coordinator::Policy& policy, const JournalDisk& disk, const SharedFiles& files, const Workload& workload,
           Ledger& ledger, Trace& trace);

  // Takes note of what has become durable.
  void CatchUp();
  // The coordinator.
  void OnLoaded(const coordinator::State& state, coordinator::Now now) override;
  void OnTurn(const coordinator::State& state, coordinator::Now now, bool refused) override;
  void OnSent(const v1::SessionResponse& message) override;
  // Trainers and workers.
  void OnSpawn(size_t worker, const v1::StartRank& order, const Trainer* other) override;
  void OnPause(const Trainer& trainer) override;
  void OnRestore(const v1::StartRank& order, const Saved* found) override;
  void OnStage(const std::string& folder, const Saved* before, const Saved& saved) override;
  void OnPublished(const v1::CommitArtifact& order, const absl::Status& status) override;
  void OnRemoved(const std::string& folder, const Saved& saved);
  // Clients: what they were told is done.
  void OnSubmitted(const std::string& request_id, const v1::JobSpec& spec, const v1::Job& job);
  void OnCancelled(const v1::Job& job);
  void OnDeleted(const std::string& job_id);
  // A pause, or its end.
  void OnAsked(const std::string& job_id, const std::string& request_id);
  // The job that this request made.
  bool IsDeleted(const std::string& request_id) const;
  // A fault of the simulator's own making.
  void OnDamaged(const Saved& saved) { damaged_.insert({saved.job_id, saved.generation, saved.step}); }

  // Once no fault has happened for a long time.
  void CheckAtRest(const coordinator::State& state);

  // By job id, as the newest durable record says.
  const std::map<std::string, coordinator::JobRecord>& records() const { return records_; }
  // From submission to end, of all jobs that have ended.
  microseconds job_time() const { return job_time_; }

 private:
  struct Job {
    v1::Artifact newest;                                   // committed checkpoint
    std::set<std::pair<std::string, uint64_t>> artifacts;  // (path, generation) of all that was ever committed
    std::map<std::pair<uint64_t, int>, int> notes;         // by (generation, rank): number of the last one in the history
    uint64_t events = 0;
    uint64_t last_commit_by = 0;  // generation
    bool terminal = false;        // the history says so
    microseconds submitted{0};
  };

  void OnRecord(const coordinator::JobRecord& record);
  void OnEvent(const v1::JobEvent& event);
  void OnDeletion(const coordinator::Deletion& deletion);
  void OnCommit(const std::string& job_id, Job& job, const v1::Artifact& artifact);
  void OnEnded(const coordinator::JobRecord& record);
  void CheckCheckpoint(const std::string& job_id);
  void CheckStory(const std::string& job_id);
  bool MayBeLost(const v1::Artifact& artifact, const std::string& job_id) const;
  void CheckPlacement(const coordinator::State& state);
  void CheckWaiting(const coordinator::State& state, coordinator::Now now);
  void CheckAcknowledged(const coordinator::State& state);
  void CheckEqualsJournal(const coordinator::State& state, const char* when);

  const JournalDisk& disk_;
  const SharedFiles& files_;
  const Workload& workload_;
  Ledger& ledger_;
  Trace& trace_;

  size_t followed_ = 0;  // records of the journal
  int compactions_ = 0;
  coordinator::State replayed_;  // from the journal's records alone
  std::map<std::string, coordinator::JobRecord> records_;
  std::map<std::string, Job> jobs_;
  std::set<std::tuple<std::string, uint64_t, int32_t>> stood_still_;  // ranks whose process did
  std::set<std::string> changed_;                                     // since the last check
  bool news_ = false;                                                 // in this turn
  std::vector<std::string> ended_;                                    // in the records that are caught up with
  microseconds job_time_{0};
  std::set<std::tuple<std::string, uint64_t, int64_t>> damaged_;
  std::set<std::pair<std::string, uint64_t>> unpublishable_;
  std::set<std::tuple<std::string, uint64_t, int, std::string>> spawned_;
  std::map<std::string, std::pair<std::string, std::string>> submitted_;  // request id -> job id, spec
  std::set<std::string> cancelled_;
  std::set<std::string> deleted_;  // job ids
};

}  // namespace pixelrec::simulator
