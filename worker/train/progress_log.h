// What a run says about itself: progress to the worker, curves to <output_dir>/logs/ (TensorBoard and metrics.jsonl; rank 0
// alone).
//
// Threads: the training thread. A log that can't be written is said once and never ends the training.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/train/event_log/event_file.h"
#include "worker/train/event_log/metrics_log.h"
#include "worker/train/session.h"
#include "worker/train/train_job.h"
#include "worker/train/training_step.h"

namespace pixelrec::train {

class ProgressLog {
 public:
  // Opens the files on rank 0. Errors carry FailureKind::kOutputUnwritable: an output_dir that can't be written ends the job at
  // once.
  static absl::StatusOr<std::unique_ptr<ProgressLog>> Open(const Session& session, WorkerLink& link);

  // What the records from here on say of the time that was lost.
  void Stalled(const StallRecord& stalls) { stalls_ = stalls; }
  void Step(const StepOutcome& step, int epoch);
  // A section that isn't counted in steps: "validate", "evaluate".
  void Section(const std::string& section, double fraction, int epoch);
  void Epoch(const EpochRecord& epoch);
  void Result(const ResultRecord& result);

 private:
  ProgressLog(const Session& session, WorkerLink& link) : s_(session), link_(link) {}
  void Scalar(const std::string& tag, double value);
  void Metrics(const std::string& split, const RankingRecord& ranking);
  void Check(const absl::Status& status);

  const Session& s_;
  WorkerLink& link_;
  std::unique_ptr<EventFile> events_;
  std::unique_ptr<MetricsLog> metrics_;
  bool complained_ = false;
  // Since the last progress record.
  int64_t samples_ = 0;
  int64_t tokens_ = 0;
  int64_t steps_ = 0;
  double seconds_ = 0;
  double mean_step_seconds_ = 0;  // exponential mean, for the estimate of what is left
  ProgressRecord last_;
  StallRecord stalls_;
  std::chrono::steady_clock::time_point last_section_{};
};

}  // namespace pixelrec::train
