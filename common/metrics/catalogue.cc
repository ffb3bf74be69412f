#include "common/metrics/catalogue.h"

#include <type_traits>

#include "common/metrics/family.h"

namespace pixelrec::metrics {
namespace {

using Names = std::string_view;

constexpr Names kJobStates[] = {"PENDING", "PREPARING", "STARTING", "RUNNING",  "RECOVERING",
                                "PAUSED",  "SUCCEEDED", "FAILED",   "CANCELLED"};
constexpr Names kWorkerStates[] = {"IDLE", "BUSY", "LOST", "DRAINING", "DRAINED"};
constexpr Names kDropReasons[] = {"coalesced", "slow_reader"};
constexpr Names kStepPhases[] = {"data", "forward", "backward", "comm", "optimizer"};
constexpr Names kCheckpointPhases[] = {"write", "commit", "publish"};
constexpr Names kCheckpointFailures[] = {"disk_full", "unwritable", "missing", "other"};

// Bounds hold the thresholds of the objectives: 50 ms and 1 s of an RPC, 20 ms of a commit, 1 s and 2 s of a recovery.
constexpr double kRpcBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
constexpr double kStepBounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
constexpr double kCheckpointBounds[] = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
constexpr double kRecoveryBounds[] = {0.5, 1, 2, 3, 5, 10, 30, 60, 120, 300, 600};
constexpr double kQueueBounds[] = {1, 2, 5, 15, 60, 300, 900, 1800, 3600, 7200, 21600};
constexpr double kCommitBounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1};

}  // namespace

const GaugeDef<2> kBuildInfo{"pixelrec_build_info", Page::kBoth, "Program and version; always 1.", {{{"program"}, {"version"}}}};

const GaugeDef<1> kJobs{"pixelrec_jobs", Page::kCoordinator, "Jobs by state.", {{{"state", kJobStates}}}};
const GaugeDef<3> kJobInfo{
    "pixelrec_job_info", Page::kCoordinator, "A live job and its name; always 1.", {{{"job_id"}, {"name"}, {"output_dir"}}}};
const HistogramDef<0> kJobQueueWaitSeconds{
    "pixelrec_job_queue_wait_seconds", Page::kCoordinator, "Time from a job's submission to its first gang.", {}, kQueueBounds};
const CounterDef<2> kJobStateTransitionsTotal{
    "pixelrec_job_state_transitions_total",
    Page::kCoordinator,
    "Changes of jobs' states, by the new state and the failure that caused it (none: no failure).",
    {{{"to", kJobStates}, {"cause"}}}};
const CounterDef<2> kJobRestartsTotal{
    "pixelrec_job_restarts_total", Page::kCoordinator, "Generations a job lost, by cause.", {{{"job_id"}, {"cause"}}}};
const CounterDef<0> kJobPreemptionsTotal{"pixelrec_job_preemptions_total",
                                         Page::kCoordinator,
                                         "Generations stopped to give their workers to a job of higher priority.",
                                         {}};
const HistogramDef<0> kJobRecoverySeconds{"pixelrec_job_recovery_seconds",
                                          Page::kCoordinator,
                                          "Time from a generation's loss to the next one's first step.",
                                          {},
                                          kRecoveryBounds};
const GaugeDef<1> kJobProgressRatio{"pixelrec_job_progress_ratio",
                                    Page::kCoordinator,
                                    "Optimiser steps done as a share of all steps of the job.",
                                    {{{"job_id"}}}};
const GaugeDef<1> kJobEtaSeconds{
    "pixelrec_job_eta_seconds", Page::kCoordinator, "Estimated time to the end of a job's training.", {{{"job_id"}}}};
const GaugeDef<1> kWorkerLastHeartbeatTimestampSeconds{"pixelrec_worker_last_heartbeat_timestamp_seconds",
                                                       Page::kCoordinator,
                                                       "Unix time of a worker's last heartbeat.",
                                                       {{{"worker"}}}};
const GaugeDef<1> kWorkers{"pixelrec_workers", Page::kCoordinator, "Workers by state.", {{{"state", kWorkerStates}}}};
const CounterDef<2> kGrpcServerHandledTotal{"pixelrec_grpc_server_handled_total",
                                            Page::kCoordinator,
                                            "RPCs finished, by method and status code.",
                                            {{{"method"}, {"code"}}}};
const HistogramDef<1> kGrpcServerHandlingSeconds{"pixelrec_grpc_server_handling_seconds",
                                                 Page::kCoordinator,
                                                 "Time to answer an RPC, streams excluded.",
                                                 {{{"method"}}},
                                                 kRpcBounds};
const GaugeDef<0> kStreamSubscribers{
    "pixelrec_stream_subscribers", Page::kCoordinator, "Open WatchJob and StreamMetrics streams.", {}};
const CounterDef<1> kStreamDroppedEventsTotal{
    "pixelrec_stream_dropped_events_total",
    Page::kCoordinator,
    "Events not sent to a subscriber: progress that newer progress replaced, or all after a slow "
    "reader was disconnected.",
    {{{"reason", kDropReasons}}}};
const HistogramDef<0> kJournalCommitSeconds{
    "pixelrec_journal_commit_seconds", Page::kCoordinator, "Time of one group commit of the journal.", {}, kCommitBounds};
const GaugeDef<0> kJournalSizeBytes{"pixelrec_journal_size_bytes", Page::kCoordinator, "Bytes of the journal's files.", {}};

const GaugeDef<3> kRunInfo{"pixelrec_run_info",
                           Page::kWorker,
                           "The run this worker's trainer belongs to; always 1.",
                           {{{"job_id"}, {"generation"}, {"rank"}}}};
const GaugeDef<0> kStep{"pixelrec_step", Page::kWorker, "Optimiser steps done in the run's whole job.", {}, {}, false};
const GaugeDef<0> kEpoch{"pixelrec_epoch", Page::kWorker, "Current epoch, from 1.", {}, {}, false};
const GaugeDef<0> kLastStepTimestampSeconds{
    "pixelrec_last_step_timestamp_seconds", Page::kWorker, "Unix time at which the last optimiser step ended.", {}, {}, false};
const HistogramDef<1> kStepDurationSeconds{"pixelrec_step_duration_seconds",
                                           Page::kWorker,
                                           "Time of one optimiser step of this rank, by phase.",
                                           {{{"phase", kStepPhases}}},
                                           kStepBounds};
const CounterDef<0> kSamplesTotal{
    "pixelrec_samples_total", Page::kWorker, "Training samples this worker's ranks went through.", {}};
const CounterDef<0> kTokensTotal{"pixelrec_tokens_total", Page::kWorker, "Item tokens this worker's ranks encoded.", {}};
const GaugeDef<0> kLoss{"pixelrec_loss", Page::kWorker, "Training loss of the last step's global batch.", {}, {}, false};
const GaugeDef<0> kLearningRate{"pixelrec_learning_rate", Page::kWorker, "Learning rate of the last step.", {}, {}, false};
const GaugeDef<0> kGradNorm{
    "pixelrec_grad_norm", Page::kWorker, "Norm of the last step's gradient before clipping.", {}, {}, false};
const CounterDef<0> kNonfiniteStepsTotal{
    "pixelrec_nonfinite_steps_total", Page::kWorker, "Steps left out because the loss or the gradient was not finite.", {}};
const HistogramDef<1> kCheckpointDurationSeconds{
    "pixelrec_checkpoint_duration_seconds",
    Page::kWorker,
    "Time of one checkpoint or model: write (by the trainer), commit (until the coordinator's order), publish (the rename).",
    {{{"phase", kCheckpointPhases}}},
    kCheckpointBounds};
const GaugeDef<0> kCheckpointLastSuccessTimestampSeconds{"pixelrec_checkpoint_last_success_timestamp_seconds",
                                                         Page::kWorker,
                                                         "Unix time at which a checkpoint was last published.",
                                                         {},
                                                         {},
                                                         false};
const GaugeDef<0> kCheckpointBytes{
    "pixelrec_checkpoint_bytes", Page::kWorker, "Bytes of the checkpoint published last.", {}, {}, false};
const CounterDef<1> kCheckpointFailuresTotal{"pixelrec_checkpoint_failures_total",
                                             Page::kWorker,
                                             "Checkpoints and models that could not be written or published.",
                                             {{{"reason", kCheckpointFailures}}}};
const GaugeDef<1> kDeviceMemoryBytes{"pixelrec_device_memory_bytes",
                                     Page::kWorker,
                                     "Memory of this worker's trainer: host_resident is its resident set.",
                                     {{{"kind"}}}};
const GaugeDef<2> kEvalMetric{"pixelrec_eval_metric",
                              Page::kWorker,
                              "Newest evaluation of the run, as a share of 1; k 0 for a metric without a cut-off.",
                              {{{"name"}, {"k"}}}};

namespace {

template <typename Metric, size_t N>
Row Erase(const Definition<Metric, N>& definition) {
  const Kind kind = std::is_same_v<Metric, prometheus::Counter> ? Kind::kCounter
                    : std::is_same_v<Metric, prometheus::Gauge> ? Kind::kGauge
                                                                : Kind::kHistogram;
  return {definition.name,   kind, definition.page, definition.help, {definition.labels.begin(), definition.labels.end()},
          definition.buckets};
}

}  // namespace

std::vector<Row> Catalogue() {
  return {Erase(kBuildInfo),
          Erase(kJobs),
          Erase(kJobInfo),
          Erase(kJobQueueWaitSeconds),
          Erase(kJobStateTransitionsTotal),
          Erase(kJobRestartsTotal),
          Erase(kJobPreemptionsTotal),
          Erase(kJobRecoverySeconds),
          Erase(kJobProgressRatio),
          Erase(kJobEtaSeconds),
          Erase(kWorkerLastHeartbeatTimestampSeconds),
          Erase(kWorkers),
          Erase(kGrpcServerHandledTotal),
          Erase(kGrpcServerHandlingSeconds),
          Erase(kStreamSubscribers),
          Erase(kStreamDroppedEventsTotal),
          Erase(kJournalCommitSeconds),
          Erase(kJournalSizeBytes),
          Erase(kRunInfo),
          Erase(kStep),
          Erase(kEpoch),
          Erase(kLastStepTimestampSeconds),
          Erase(kStepDurationSeconds),
          Erase(kSamplesTotal),
          Erase(kTokensTotal),
          Erase(kLoss),
          Erase(kLearningRate),
          Erase(kGradNorm),
          Erase(kNonfiniteStepsTotal),
          Erase(kCheckpointDurationSeconds),
          Erase(kCheckpointLastSuccessTimestampSeconds),
          Erase(kCheckpointBytes),
          Erase(kCheckpointFailuresTotal),
          Erase(kDeviceMemoryBytes),
          Erase(kEvalMetric)};
}

void SetBuildInfo(prometheus::Registry& registry, const std::string& program, const std::string& version) {
  Family(registry, kBuildInfo).With({program, version}).Set(1);
}

}  // namespace pixelrec::metrics
