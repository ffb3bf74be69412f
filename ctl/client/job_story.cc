#include "ctl/client/job_story.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "ctl/client/job_state.h"

namespace pixelrec::ctl {
namespace {

absl::Time TimeOf(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

TimeBucket BucketOf(v1::JobState state) {
  switch (state) {
    case v1::JOB_STATE_PAUSED:
      return TimeBucket::kPaused;
    case v1::JOB_STATE_PREPARING:
      return TimeBucket::kPrepare;
    case v1::JOB_STATE_STARTING:
      return TimeBucket::kStart;
    case v1::JOB_STATE_RUNNING:
      return TimeBucket::kCompute;
    case v1::JOB_STATE_RECOVERING:
      return TimeBucket::kRestart;
    default:
      return TimeBucket::kWaiting;
  }
}

bool IsCheckpoint(const v1::Artifact& artifact) {
  return artifact.kind() == v1::ARTIFACT_KIND_EPOCH_CHECKPOINT || artifact.kind() == v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT;
}

// A generation's time in RUNNING, until it is known from where the next one went on.
struct Training {
  StorySpan span;
  struct Commit {  // of a checkpoint
    int64_t step;
    absl::Time time;
    v1::Stalls stalls;
  };
  std::optional<size_t> place = std::nullopt;  // of the span in the story, once closed
  std::vector<Commit> commits = {};
  v1::Stalls stalls = {};  // newest known
  bool failed = false;
};

// As much of them as fits into the span: they were measured by another clock, and a little earlier.
void PutStalls(const v1::Stalls& stalls, StorySpan& span) {
  const auto fit = [](double seconds, absl::Duration room) {
    // A clock that was set back makes spans of less than nothing.
    return std::clamp(absl::Seconds(seconds), absl::ZeroDuration(), std::max(absl::ZeroDuration(), room));
  };
  span.data = fit(stalls.data_seconds(), span.length());
  span.checkpoint = fit(stalls.checkpoint_seconds(), span.length() - span.data);
}

class StoryTeller {
 public:
  void Tell(const v1::JobEvent& event) {
    const absl::Time time = TimeOf(event.time());
    if (event.has_state_change()) return ChangeState(event, time);
    if (event.has_failure()) return Fail(event.failure(), time);
    if (!training_) return;
    if (event.has_artifact()) {
      Reach(event.artifact().step());
      if (IsCheckpoint(event.artifact()))
        training_->commits.push_back({event.artifact().step(), time, event.artifact().stalls()});
      if (event.artifact().has_stalls()) training_->stalls = event.artifact().stalls();
    }
    if (event.has_result()) training_->stalls = event.result().stalls();
    if (event.has_epoch_result()) Reach(event.epoch_result().step());
  }

  JobStory End(const v1::Job& job, absl::Time now) {
    if (job.has_progress()) Reach(job.progress().step());
    if (training_ && job.progress().has_stalls() && job.generation() == training_->span.generation)
      training_->stalls = job.progress().stalls();
    if (!HasEnded(job.state())) {
      Close(open_ ? std::max(now, open_->from) : now);
    } else if (job.state() != v1::JOB_STATE_SUCCEEDED && training_) {
      training_->failed = true;  // what follows the last checkpoint is in no result
      Settle(job.checkpoint().step());
    }
    if (training_ && training_->place) PutStalls(training_->stalls, story_.spans[*training_->place]);
    for (const StorySpan& span : story_.spans) story_.total += span.length();
    return std::move(story_);
  }

 private:
  void ChangeState(const v1::JobEvent& event, absl::Time time) {
    const v1::StateChange& change = event.state_change();
    const TimeBucket bucket = BucketOf(change.to());
    if (open_ && open_->bucket == TimeBucket::kRestart && bucket == TimeBucket::kRestart) {
      open_->text = change.reason();  // its failure came just before
      return;
    }
    Close(time);
    if (HasEnded(change.to())) return;
    open_ = StorySpan{.from = time, .to = time, .bucket = bucket, .generation = event.generation(), .text = change.reason()};
    if (change.ranks() == 0) return;
    Settle(change.from_step());
    open_->ranks = change.ranks();
    if (bucket != TimeBucket::kCompute) return;
    open_->first_step = change.from_step() + 1;
    open_->last_step = change.from_step();
    training_ = Training{.span = *open_};
  }

  void Fail(const v1::Failure& failure, absl::Time time) {
    story_.failures.push_back({time, failure, 0, absl::ZeroDuration()});
    if (!training_) return;
    Reach(failure.step());
    training_->failed = true;
    Close(time);  // from here on nobody computes
    open_ = StorySpan{.from = time, .to = time, .bucket = TimeBucket::kRestart, .generation = failure.generation()};
  }

  void Reach(int64_t step) {
    if (training_) training_->span.last_step = std::max(training_->span.last_step, step);
  }

  void Close(absl::Time time) {
    if (!open_) return;
    open_->to = time;
    if (training_ && open_->bucket == TimeBucket::kCompute) {
      open_->last_step = training_->span.last_step;
      training_->place = story_.spans.size();
    }
    story_.spans.push_back(*std::exchange(open_, std::nullopt));
  }

  // Training goes on from the checkpoint of step `kept`: what came after it is lost if the generation failed, and else the way to
  // the next one.
  void Settle(int64_t kept) {
    if (!training_ || !training_->place) return;
    const Training training = *std::exchange(training_, std::nullopt);
    StorySpan whole = story_.spans[*training.place];
    StorySpan rest = whole;
    const auto commit =
        std::find_if(training.commits.begin(), training.commits.end(), [&](const auto& c) { return c.step == kept; });
    whole.to = rest.from = commit == training.commits.end() ? whole.from : std::min(commit->time, whole.to);
    if (commit != training.commits.end()) PutStalls(commit->stalls, whole);
    whole.last_step = std::max(whole.first_step - 1, std::min(training.span.last_step, kept));
    rest.first_step = whole.last_step + 1;
    rest.last_step = training.span.last_step;
    rest.bucket = training.failed ? TimeBucket::kLostWork : TimeBucket::kStart;
    if (training.failed && !story_.failures.empty() && story_.failures.back().failure.generation() == whole.generation) {
      story_.failures.back().lost_steps = std::max<int64_t>(0, rest.last_step - rest.first_step + 1);
      story_.failures.back().lost_time = rest.length();
    }
    const auto at = story_.spans.erase(story_.spans.begin() + static_cast<int64_t>(*training.place));
    const auto after = rest.length() > absl::ZeroDuration() ? story_.spans.insert(at, rest) : at;
    if (whole.length() > absl::ZeroDuration()) story_.spans.insert(after, whole);
  }

  JobStory story_;
  std::optional<StorySpan> open_;
  std::optional<Training> training_;
};

}  // namespace

absl::string_view BucketName(TimeBucket bucket) {
  switch (bucket) {
    case TimeBucket::kWaiting:
      return "waiting";
    case TimeBucket::kPaused:
      return "paused";
    case TimeBucket::kPrepare:
      return "prepare";
    case TimeBucket::kStart:
      return "start";
    case TimeBucket::kData:
      return "data";
    case TimeBucket::kCompute:
      return "compute";
    case TimeBucket::kCheckpoint:
      return "checkpoint";
    case TimeBucket::kLostWork:
      return "lost_work";
    case TimeBucket::kRestart:
      return "restart";
  }
  return "";
}

absl::Duration JobStory::In(TimeBucket bucket) const {
  absl::Duration sum;
  for (const StorySpan& span : spans) {
    if (span.bucket == bucket) sum += span.length() - span.data - span.checkpoint;
    if (bucket == TimeBucket::kData) sum += span.data;
    if (bucket == TimeBucket::kCheckpoint) sum += span.checkpoint;
  }
  return sum;
}

double JobStory::Goodput() const {
  const absl::Duration held = total - In(TimeBucket::kWaiting) - In(TimeBucket::kPaused);
  return held > absl::ZeroDuration() ? absl::FDivDuration(In(TimeBucket::kCompute), held) : 0;
}

JobStory StoryOf(const v1::Job& job, const v1::ListJobEventsResponse& history, absl::Time now) {
  StoryTeller teller;
  for (const v1::JobEvent& event : history.events()) teller.Tell(event);
  return teller.End(job, now);
}

}  // namespace pixelrec::ctl
