// This worker's /metrics: what its trainer reports, turned into the worker's part of common/metrics/catalogue.h. The series of a
// run are removed a grace after its end, so that its last values can still be scraped.
//
// Threads: one (the agent's loop). Times: `now` decides the grace, `wall` (Unix seconds) is what is shown.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

#include <prometheus/registry.h>

#include "absl/status/status.h"
#include "common/metrics/family.h"
#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/agent/rank_key.h"

namespace pixelrec::agent {

class RunMetrics {
 public:
  RunMetrics(prometheus::Registry& registry, std::chrono::milliseconds grace);

  void OnStarted(const RankKey& key);
  void OnReport(const v1::TrainerReport& report, Time now, double wall);
  void OnCommitOrdered(const v1::Artifact& artifact, Time now);
  void OnPublished(const v1::Artifact& artifact, double seconds, double wall);
  void OnPublishFailed(const std::string& reason);
  void OnEnded(Time now);

  void Tick(Time now);
  std::optional<Time> NextDue() const { return remove_at_; }

 private:
  template <typename Metric, size_t N>
  using Family = metrics::Family<Metric, N>;
  using Gauges = metrics::Family<prometheus::Gauge, 0>;

  void OnStep(const v1::StepTimings& step, double wall);
  void OnRanking(const std::string& prefix, const v1::RankingMetrics& ranking);
  void SetEval(const std::string& name, int k, double value);
  void RemoveRun();

  const std::chrono::milliseconds grace_;
  std::optional<RankKey> run_;
  std::optional<Time> remove_at_;
  std::set<std::array<std::string, 2>> eval_series_;
  std::map<std::string, Time> staged_;  // by final path: asked to be committed then

  Family<prometheus::Gauge, 3> run_info_;
  Gauges step_, epoch_, last_step_, loss_, learning_rate_, grad_norm_, checkpoint_last_success_, checkpoint_bytes_;
  Family<prometheus::Histogram, 1> step_seconds_, checkpoint_seconds_;
  Family<prometheus::Counter, 0> samples_, tokens_, nonfinite_;
  Family<prometheus::Counter, 1> checkpoint_failures_;
  Family<prometheus::Gauge, 1> memory_;
  Family<prometheus::Gauge, 2> eval_;
};

}  // namespace pixelrec::agent
