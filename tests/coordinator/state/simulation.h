// The pure machine with everything around it simulated: clock, journal, worker sessions with their incarnations and sequences.
//
// After every step it checks that replaying the journal gives the durable state, byte for byte.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "coordinator/state/replay.h"
#include "coordinator/state/step.h"
#include "coordinator/state/view.h"

namespace pixelrec::coordinator {

class Simulation {
 public:
  explicit Simulation(Policy policy = {});

  // Steps, "commits" and checks the replay. With refuse_next() set before: rolls back instead, and drops the actions.
  Outcome Step(const Event& event);
  void refuse_next() { refuse_next_ = true; }

  Outcome Connect(const std::string& worker, uint64_t incarnation = 1, const std::string& host = "host-a",
                  const std::vector<v1::RunningRank>& running = {});
  Outcome Disconnect(const std::string& worker);
  // Reports of the worker's rank in the job's newest generation, numbered by itself.
  Outcome Report(const std::string& worker, const std::string& job, v1::RankReport report);
  Outcome Report(const std::string& worker, const std::string& job, v1::TrainerReport trainer);
  // A beat that says where the worker's rank in the job is, of its newest generation if no other is named.
  Outcome Beat(const std::string& worker, const std::string& job, v1::RankPosition position);
  Outcome Exit(const std::string& worker, const std::string& job, int code, int signal = 0);
  // Time passes in steps of 250 ms; connected workers that aren't muted beat.
  std::vector<Outcome> Advance(std::chrono::milliseconds duration);
  void Mute(const std::string& worker, bool muted) { workers_[worker].muted = muted; }

  // The coordinator is killed and started again: what is volatile is gone, sessions too.
  void Restart();

  const State& state() const { return state_; }
  Now now() const { return now_; }
  const std::vector<std::string>& journal() const { return journal_; }
  const JobEntry& Job(const std::string& name) const;
  uint64_t session(const std::string& worker) const { return workers_.at(worker).session; }
  v1::RunningRank Running(const std::string& worker, const std::string& job) const;

  static v1::JobSpec Spec(const std::string& name, int workers);
  Outcome Submit(const v1::JobSpec& spec, const std::string& request_id = "");

 private:
  struct Worker {
    uint64_t incarnation = 1;
    uint64_t session = 0;  // 0: not connected
    bool muted = false;
    std::map<RankKey, uint64_t> sequences;
  };

  void CheckReplay() const;
  int32_t RankOf(const std::string& worker, const JobEntry& entry) const;

  Policy policy_;
  State state_;
  State replayed_;  // from the journal alone
  Now now_;
  std::vector<std::string> journal_;
  std::map<std::string, Worker> workers_;
  uint64_t last_session_ = 0;
  bool refuse_next_ = false;
};

}  // namespace pixelrec::coordinator
