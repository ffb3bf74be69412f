// Everything the coordinator knows. The durable part of a job is its `record` and `events`; the rest is learnt again after a
// restart.
//
// Changed only by Step() (step.h) and Load() (replay.h). No clock, thread, file or socket. Threads: one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/state/event.h"
#include "coordinator/state/queue.h"
#include "coordinator/state/record.pb.h"

namespace pixelrec::coordinator {

struct Policy {
  std::chrono::milliseconds lease{2000};
  std::chrono::milliseconds beat_interval{500};
  std::chrono::seconds orphan_grace{600};
  std::chrono::milliseconds start_timeout{120000};  // STARTING -> RUNNING
  std::chrono::milliseconds stop_grace{30000};      // StopTraining -> SIGKILL
  // A rank whose collective broke is rarely the one to blame: so long its peers may still report the cause.
  std::chrono::milliseconds blame_window{300};
  std::chrono::milliseconds backoff_floor{200};
  std::chrono::milliseconds backoff_ceiling{30000};
  // An elastic job grows when its generation has trained for so long, onto workers that have been there for so long.
  std::chrono::milliseconds elastic_grow_after{30000};
  std::chrono::seconds aging{600};  // waiting that counts as one more of priority
  // A rank hangs when its section lasts longer than the floor and than this factor times the section's median (hang.h).
  std::chrono::milliseconds hang_floor{5000};
  double hang_factor = 10;
  int fruitless_limit = 5;  // restarts in a row without a new step, of failures that come from the job itself
  std::chrono::seconds remember_lost_worker{600};
  size_t keep_ended_jobs = 0;              // the newest; 0: all
  std::chrono::seconds keep_ended_for{0};  // 0: for ever
};

struct RankKey {
  std::string job_id;
  uint64_t generation = 0;
  int32_t rank = 0;
  auto operator<=>(const RankKey&) const = default;
};

struct WorkerEntry {
  std::string id;
  uint64_t incarnation = 0;
  uint64_t session = 0;  // 0: not connected
  v1::RegisterWorker info;
  std::chrono::microseconds lease_until{0};
  std::chrono::microseconds last_beat_wall{0};
  bool lost = false;
  std::chrono::microseconds lost_since{0};
  // Ranks whose processes live on this worker, as far as known, with the instant by which an exit report must have come for those
  // the worker doesn't know any more (max(): none is due).
  std::map<RankKey, std::chrono::microseconds> ranks;

  std::chrono::microseconds rests_until{0};  // gets no rank before
  std::chrono::microseconds there_since{0};  // since it was last new or lost
  int losses = 0;
  v1::DrainMode drain = v1::DRAIN_MODE_UNSPECIFIED;  // as its WorkerRecord says

  bool connected() const { return session != 0 && !lost; }
  // One whose connection broke is thought to come back, until its lease lapses.
  bool usable() const { return !lost && drain == v1::DRAIN_MODE_UNSPECIFIED; }
  bool idle(Now now) const { return connected() && usable() && ranks.empty() && rests_until <= now.steady; }
};

struct JobEntry {
  JobRecord record;
  std::vector<v1::JobEvent> events;

  std::optional<v1::Progress> progress;
  std::map<int32_t, v1::RankPosition> positions;             // of the gang, by rank, as of each one's newest beat
  std::map<std::pair<int32_t, std::string>, uint64_t> seen;  // newest report by (rank, worker) of the gang
  std::optional<std::chrono::microseconds> start_deadline;   // of a gang in STARTING
  std::optional<std::chrono::microseconds> kill_at;          // end of the blame window
  std::chrono::microseconds retry_at{0};                     // backoff
  std::optional<std::chrono::microseconds> running_since;    // the gang in RUNNING
  std::optional<std::chrono::microseconds> counted_until;    // of that, into job.run_time

  const v1::Job& job() const { return record.job(); }
  bool ended() const;
  bool gang_lives() const { return record.has_gang() && !record.gang().over() && !ended(); }
  // For workers; or for its backoff.
  bool waits() const { return !ended() && !gang_lives() && job().state() != v1::JOB_STATE_PAUSED; }
};

struct State {
  explicit State(Policy p) : policy(p) {}

  Policy policy;
  std::map<uint64_t, JobEntry> jobs;  // by number, the order of submission
  std::map<std::string, WorkerEntry> workers;
  std::map<std::string, WorkerRecord> worker_records;  // of those that are or were drained
  std::deque<Deletion> deletions;                      // the newest, in order
  uint64_t next_number = 1;
  std::chrono::microseconds last_tick{0};
  std::chrono::microseconds preempts_from{0};  // after a restart idle workers aren't known yet

  // Indexes over `jobs`, kept by Reindex().
  std::map<std::string, uint64_t> by_id;
  std::map<std::string, std::set<uint64_t>> by_name;
  std::map<std::string, uint64_t> by_request;                      // RequestKey() of the submission
  std::map<std::string, uint64_t> by_output_dir;                   // live jobs only
  std::set<uint64_t> live;                                         // with a gang that isn't over
  std::map<QueueKey, Waiting> waiting;                             // the queue
  std::map<uint64_t, QueueKey> places;                             // in the queue, by number
  std::set<uint64_t> backing_off;                                  // of those, with a retry_at
  std::set<std::pair<std::chrono::microseconds, uint64_t>> ended;  // by when, by the wall clock
  std::map<uint64_t, std::chrono::microseconds> ended_at;          // of those, by number

  // What the steps since the last Accept() changed, as it was before.
  struct Undo {
    std::map<uint64_t, std::optional<std::pair<JobEntry, size_t>>> jobs;  // without events; their count
    std::map<std::string, std::optional<WorkerEntry>> workers;
    std::map<std::string, std::optional<WorkerRecord>> worker_records;
    std::map<uint64_t, JobEntry> deleted;
    std::optional<std::deque<Deletion>> deletions;
    std::optional<uint64_t> next_number;
  } undo;

  // Brings the indexes in line with the job `number`.
  void Reindex(uint64_t number);
  // Takes a job that is about to go out of them.
  void Unindex(const JobEntry& entry);
  // Out of `live`, the queue, `by_output_dir` and `ended`.
  void LeaveQueue(const JobEntry& entry);
  // Keeps the newest thousand, for repeats of their requests.
  void RememberDeletion(const Deletion& deletion);
  // Also one that a step since the last Accept() deleted; null: none.
  const JobEntry* Find(uint64_t number) const;
  // The journal holds what the steps decided.
  void Accept() { undo = {}; }
  // The journal refused: as if the steps since the last Accept() had not been.
  void Rollback();
};

bool IsTerminal(v1::JobState state);

// A request_id is its sender's own: another who sends the same means another request.
std::string RequestKey(const std::string& owner, const std::string& request_id);

// By id, name (the newest of it) or unique prefix of an id. NOT_FOUND with the reason in words.
absl::StatusOr<uint64_t> FindJob(const State& state, const std::string& name);

}  // namespace pixelrec::coordinator
