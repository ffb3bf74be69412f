// What became of a job's time: its history cut into spans, each in one bucket, so that the buckets add up to the time since it
// was submitted. A span of training that no checkpoint kept is lost work.
//
// Threads: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::ctl {

enum class TimeBucket {
  kWaiting,     // for workers
  kPaused,      // by the user
  kPrepare,     // the dataset
  kStart,       // ranks load and meet
  kData,        // steps that wait for their batches
  kCompute,     // training and evaluation that the result holds
  kCheckpoint,  // training that stands still for a checkpoint or the best model
  kLostWork,    // steps after the checkpoint that the next generation went on from
  kRestart,     // from a failure to the next start
};
inline constexpr std::array kTimeBuckets = {TimeBucket::kWaiting,    TimeBucket::kPaused,   TimeBucket::kPrepare,
                                            TimeBucket::kStart,      TimeBucket::kData,     TimeBucket::kCompute,
                                            TimeBucket::kCheckpoint, TimeBucket::kLostWork, TimeBucket::kRestart};
absl::string_view BucketName(TimeBucket bucket);  // "lost_work"

struct StorySpan {
  absl::Time from, to;
  TimeBucket bucket = TimeBucket::kWaiting;
  uint64_t generation = 0;
  int32_t ranks = 0;       // 0: none
  int64_t first_step = 0;  // of training; last_step < first_step: none is known
  int64_t last_step = -1;
  std::string text;  // the coordinator's reason
  // Of a span of kCompute, spread over it: what belongs to kData and kCheckpoint instead.
  absl::Duration data, checkpoint;
  absl::Duration length() const { return to - from; }
};

struct StoryFailure {
  absl::Time time;
  v1::Failure failure;
  int64_t lost_steps = 0;
  absl::Duration lost_time;
};

struct JobStory {
  std::vector<StorySpan> spans;  // in order, without gaps, from submission to the end or `now`
  std::vector<StoryFailure> failures;
  absl::Duration total;

  absl::Duration In(TimeBucket bucket) const;
  // Share of kCompute in the time that the job neither waited nor was paused; 0 where that is none.
  double Goodput() const;
};

// `history`: all durable events. `now` closes the last span of a job that hasn't ended.
JobStory StoryOf(const v1::Job& job, const v1::ListJobEventsResponse& history, absl::Time now);

}  // namespace pixelrec::ctl
