// Time in RUNNING is counted in the job's record whenever that is written for another reason (a checkpoint, the end of a
// generation), so that a coordinator that is killed forgets at most what followed the last checkpoint.
#include "coordinator/state/time_limit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "coordinator/state/failures.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/stop.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

using google::protobuf::util::TimeUtil;
using std::chrono::microseconds;

namespace {

microseconds Limit(const v1::Job& job) {
  return microseconds(TimeUtil::DurationToMicroseconds(job.spec().scheduling().time_limit()));
}

// "2 h", "90 min", "45 s".
std::string InWords(microseconds duration) {
  const int64_t seconds = duration.count() / 1000000;
  if (seconds > 0 && seconds % 3600 == 0) {
    return absl::StrCat(seconds / 3600, " h");
  }
  return seconds > 0 && seconds % 60 == 0 ? absl::StrCat(seconds / 60, " min") : absl::StrCat(seconds, " s");
}

}  // namespace

microseconds TimeLeft(const v1::Job& job) {
  if (!job.spec().scheduling().has_time_limit()) {
    return microseconds::max();
  }
  return std::max(microseconds(0), Limit(job) - microseconds(TimeUtil::DurationToMicroseconds(job.run_time())));
}

microseconds RunTime(const JobEntry& entry, Now now) {
  const microseconds counted(TimeUtil::DurationToMicroseconds(entry.job().run_time()));
  return entry.counted_until.has_value() ? counted + now.steady - *entry.counted_until : counted;
}

microseconds TimeLeft(const JobEntry& entry, Now now) {
  const bool limited = entry.job().spec().scheduling().has_time_limit();
  return limited ? std::max(microseconds(0), Limit(entry.job()) - RunTime(entry, now)) : microseconds::max();
}

microseconds TimeLimitAt(const JobEntry& entry) {
  const Gang& gang = entry.record.gang();
  const bool ends = gang.has_failure() || entry.record.has_cancellation() || entry.job().has_result() ||
                    gang.stop().cause() == STOP_CAUSE_TIME_LIMIT;
  const bool counts = entry.job().spec().scheduling().has_time_limit() && entry.counted_until.has_value() && !ends;
  return counts ? *entry.counted_until + TimeLeft(entry.job()) : microseconds::max();
}

void Stepper::CountRunTime(JobEntry& entry) {
  if (entry.counted_until.has_value()) {
    *entry.record.mutable_job()->mutable_run_time() = TimeUtil::MicrosecondsToDuration(RunTime(entry, now_).count());
    entry.counted_until = now_.steady;
  }
}

void Stepper::SettleTimeLimit(JobEntry& entry) {
  if (TimeLimitAt(entry) <= now_.steady) {
    JobEntry& touched = Touch(entry.record.number());
    CountRunTime(touched);
    AskToStop(touched, STOP_CAUSE_TIME_LIMIT, "", absl::StrCat("the time limit of ", InWords(Limit(entry.job())), " is used up"));
  }
}

void Stepper::EndOverTime(JobEntry& entry) {
  v1::Job& job = *entry.record.mutable_job();
  v1::Failure failure;
  failure.set_cause(v1::FAILURE_CAUSE_TIME_LIMIT);
  failure.set_message(absl::StrCat("ran for ", InWords(Limit(job)), ", its time limit"));
  failure.set_hint(absl::StrCat("submit it again with output_policy: resume to go on from ", RestartPoint(entry),
                                ", with a larger scheduling.time_limit if that is what it needs"));
  failure.set_rank(-1);
  failure.set_generation(job.generation());
  failure.set_step(entry.progress.has_value() ? entry.progress->step() : job.checkpoint().step());
  *job.mutable_failure() = failure;
  v1::JobEvent event;
  *event.mutable_failure() = failure;
  Append(entry, std::move(event));
  EndJob(entry, v1::JOB_STATE_FAILED,
         absl::StrCat(Describe(failure), " (", CauseName(failure.cause()), "; checkpoint: ",
                      job.has_checkpoint() ? absl::StrCat("step ", job.checkpoint().step()) : std::string("none"), ")"));
}

}  // namespace pixelrec::coordinator
