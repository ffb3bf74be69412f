// The one list of metrics: names, kinds, labels, help texts, buckets. docs/metrics.md shows it to people and a test holds the two
// equal. A program makes its families from these rows (family.h) and from nothing else.
//
// Names follow Prometheus: one prefix, base units, _total on counters, _info = 1 for metadata, the times of events rather than
// ages, no label whose values grow without bound. Series with a job_id live as long as the job and a grace.
//
// Threads: constants.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace pixelrec::metrics {

// Whose /metrics shows it.
enum class Page { kCoordinator, kWorker, kBoth };

struct Label {
  std::string_view name;
  // All values, where they are known beforehand; such series exist from the start, at 0.
  std::span<const std::string_view> known = {};
};

template <typename Metric, size_t N>
struct Definition {
  std::string_view name;
  Page page;
  std::string_view help;
  std::array<Label, N> labels;
  std::span<const double> buckets = {};  // histograms only; upper bounds, ascending
  // False: a series that says nothing until it has a value (a loss of 0 would be a lie), or that ends with its run.
  bool initialise = true;
};
template <size_t N>
using CounterDef = Definition<prometheus::Counter, N>;
template <size_t N>
using GaugeDef = Definition<prometheus::Gauge, N>;
template <size_t N>
using HistogramDef = Definition<prometheus::Histogram, N>;

// One row with its types erased: for documentation and tests.
enum class Kind { kCounter, kGauge, kHistogram };
struct Row {
  std::string_view name;
  Kind kind;
  Page page;
  std::string_view help;
  std::vector<Label> labels;
  std::span<const double> buckets;
};
// Every metric, in the order of docs/metrics.md.
std::vector<Row> Catalogue();

// Both programs. Value 1.
extern const GaugeDef<2> kBuildInfo;  // program, version

// Coordinator.
extern const GaugeDef<1> kJobs;     // state, without JOB_STATE_
extern const GaugeDef<3> kJobInfo;  // job_id, name, output_dir; value 1
extern const HistogramDef<0> kJobQueueWaitSeconds;
extern const CounterDef<2> kJobStateTransitionsTotal;  // to, cause: a failure's cause without FAILURE_CAUSE_, or "none"
extern const CounterDef<2> kJobRestartsTotal;          // job_id, cause
extern const CounterDef<0> kJobPreemptionsTotal;
extern const HistogramDef<0> kJobRecoverySeconds;
extern const GaugeDef<1> kJobProgressRatio;                     // job_id
extern const GaugeDef<1> kJobEtaSeconds;                        // job_id
extern const GaugeDef<1> kWorkerLastHeartbeatTimestampSeconds;  // worker
extern const GaugeDef<1> kWorkers;                              // state, without WORKER_STATE_
extern const CounterDef<2> kGrpcServerHandledTotal;             // method ("JobService/SubmitJob"), code ("OK")
extern const HistogramDef<1> kGrpcServerHandlingSeconds;        // method
extern const GaugeDef<0> kStreamSubscribers;
extern const CounterDef<1> kStreamDroppedEventsTotal;  // reason
extern const HistogramDef<0> kJournalCommitSeconds;
extern const GaugeDef<0> kJournalSizeBytes;

// Worker: one trainer at a time, so that run_info alone carries the job and the rest join on the target.
extern const GaugeDef<3> kRunInfo;  // job_id, generation, rank; value 1
extern const GaugeDef<0> kStep;
extern const GaugeDef<0> kEpoch;
extern const GaugeDef<0> kLastStepTimestampSeconds;
extern const HistogramDef<1> kStepDurationSeconds;  // phase
extern const CounterDef<0> kSamplesTotal;
extern const CounterDef<0> kTokensTotal;
extern const GaugeDef<0> kLoss;
extern const GaugeDef<0> kLearningRate;
extern const GaugeDef<0> kGradNorm;
extern const CounterDef<0> kNonfiniteStepsTotal;
extern const HistogramDef<1> kCheckpointDurationSeconds;  // phase
extern const GaugeDef<0> kCheckpointLastSuccessTimestampSeconds;
extern const GaugeDef<0> kCheckpointBytes;
extern const CounterDef<1> kCheckpointFailuresTotal;  // reason
extern const GaugeDef<1> kDeviceMemoryBytes;          // kind
extern const GaugeDef<2> kEvalMetric;                 // name ("valid_recall"), k ("10"; "0" where there is none)

}  // namespace pixelrec::metrics
