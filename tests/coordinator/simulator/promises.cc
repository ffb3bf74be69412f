#include "tests/coordinator/simulator/promises.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/storage/atomic_file.h"
#include "coordinator/state/failures.h"
#include "coordinator/state/replay.h"
#include "coordinator/state/slots.h"
#include "coordinator/state/view.h"
#include "ctl/client/job_story.h"

namespace pixelrec::simulator {

using coordinator::JobEntry;
using coordinator::JobRecord;
using coordinator::State;

namespace {

// What takes the whole state to check is checked each so many times.
constexpr int kSeldom = 8;

}  // namespace

Promises::Promises(const coordinator::Policy& policy, const JournalDisk& disk, const SharedFiles& files, const Workload& workload,
                   Ledger& ledger, Trace& trace)
    : disk_(disk), files_(files), workload_(workload), ledger_(ledger), trace_(trace), replayed_(policy) {}

void Promises::CatchUp() {
  if (compactions_ != disk_.compactions()) {
    compactions_ = disk_.compactions();
    followed_ = disk_.records().size();
    if (compactions_ % kSeldom != 1) return;
    State compacted(replayed_.policy);
    for (const std::string& record : disk_.records()) {
      if (!ApplyRecord(compacted, record).ok()) trace_.Break("a compacted journal can't be replayed");
    }
    if (SnapshotRecords(compacted) != SnapshotRecords(replayed_)) trace_.Break("compaction changed the state");
    return;
  }
  for (; followed_ < disk_.records().size(); ++followed_) {
    const std::string& bytes = disk_.records()[followed_];
    if (absl::Status status = ApplyRecord(replayed_, bytes); !status.ok()) {
      trace_.Break("the journal doesn't follow from itself: ", status.ToString());
    }
    coordinator::Record record;
    record.ParseFromString(bytes);
    if (record.has_job()) OnRecord(record.job());
    if (record.has_event()) OnEvent(record.event());
    if (record.has_deletion()) OnDeletion(record.deletion());
  }
  for (const std::string& job_id : std::exchange(changed_, {})) CheckCheckpoint(job_id);
  for (const std::string& job_id : std::exchange(ended_, {})) CheckStory(job_id);
}

void Promises::OnLoaded(const State& state, coordinator::Now) {
  CatchUp();
  CheckEqualsJournal(state, "after a restart");
  CheckAcknowledged(state);
}

void Promises::OnTurn(const State& state, coordinator::Now now, bool refused) {
  CatchUp();
  const bool news = std::exchange(news_, false);
  if (refused && disk_.refusals() % kSeldom == 1) CheckEqualsJournal(state, "after the journal refused");
  if (news && !refused) {
    CheckPlacement(state);
    CheckWaiting(state, now);
  }
}

void Promises::CheckEqualsJournal(const State& state, const char* when) {
  if (SnapshotRecords(state) != SnapshotRecords(replayed_)) trace_.Break("the state isn't what the journal says, ", when);
  if (state.live != replayed_.live || state.waiting != replayed_.waiting || state.by_id != replayed_.by_id ||
      state.by_output_dir != replayed_.by_output_dir || state.by_request != replayed_.by_request) {
    trace_.Break("an index isn't what the journal says, ", when);
  }
}

// Orders go out only for what is durable.
void Promises::OnSent(const v1::SessionResponse& message) {
  CatchUp();
  if (message.has_commit_artifact()) {
    const v1::CommitArtifact& commit = message.commit_artifact();
    if (!jobs_[commit.job_id()].artifacts.contains({commit.artifact().path(), commit.artifact().generation()})) {
      trace_.Break(commit.artifact().path(), " is to be published and isn't committed");
    }
  } else if (message.has_start_rank()) {
    const v1::StartRank& start = message.start_rank();
    const v1::Job& job = records_[start.job_id()].job();
    // An older one may be on its way out when events of one turn have ended it: its worker's fence, or its session's end, stops
    // it.
    if (job.generation() < start.generation()) trace_.Break(start.job_id(), " starts an uncommitted generation");
    if (start.plan().role() == v1::TRAINER_ROLE_TRAIN &&
        start.plan().resume_from().path() != jobs_[start.job_id()].newest.path()) {
      trace_.Break(start.job_id(), " goes on from '", start.plan().resume_from().path(), "' and not from the newest, '",
                   jobs_[start.job_id()].newest.path(), "'");
    }
  }
}

void Promises::OnRecord(const JobRecord& record) {
  const std::string& id = record.job().job_id();
  if (deleted_.contains(id)) trace_.Break(id, " is back after its deletion");
  JobRecord& before = records_[id];
  changed_.insert(id);
  news_ = true;
  if (before.number() == 0) jobs_[id].submitted = trace_.now();
  if (before.number() == 0 && record.number() != records_.size()) {
    trace_.Break("job number ", record.number(), " is the ", records_.size(), "th");
  }
  if (coordinator::IsTerminal(before.job().state()) &&
      coordinator::CanonicalBytes(before.job()) != coordinator::CanonicalBytes(record.job())) {
    trace_.Break(id, " changes after its end");
  }
  const uint64_t generation = record.job().generation();
  if (generation < before.job().generation() || generation > before.job().generation() + 1) {
    trace_.Break(id, ": generation ", generation, " follows ", before.job().generation());
  }
  if (generation == before.job().generation() && before.gang().over() && !record.gang().over()) {
    trace_.Break(id, ": generation ", generation, " lives again");
  }
  const auto user = coordinator::RestartLimit(record.job().spec(), coordinator::FailureClass::kUser);
  const auto infrastructure = coordinator::RestartLimit(record.job().spec(), coordinator::FailureClass::kInfrastructure);
  if ((user >= 0 && record.job().user_restarts() > user) ||
      (infrastructure >= 0 && record.job().infrastructure_restarts() > infrastructure)) {
    trace_.Break(id, " was restarted more often than allowed");
  }
  const v1::DistributedSpec& size = record.job().spec().distributed();
  const int ranks = record.gang().ranks_size();
  if (record.gang().role() == v1::TRAINER_ROLE_TRAIN && (ranks < size.min_workers() || ranks > size.max_workers())) {
    trace_.Break(id, " trains with ", ranks, " ranks");
  }
  if (record.job().reason().empty()) trace_.Break(id, " is in its state without a reason");
  if (!coordinator::IsTerminal(before.job().state()) && coordinator::IsTerminal(record.job().state())) OnEnded(record);
  before = record;
}

void Promises::OnEnded(const JobRecord& record) {
  const v1::Job& job = record.job();
  trace_.Say(job.job_id(), " ends: ", v1::JobState_Name(job.state()), ", ", job.reason());
  job_time_ += trace_.now() - jobs_[job.job_id()].submitted;
  ended_.push_back(job.job_id());
  if ((job.state() == v1::JOB_STATE_CANCELLED) != record.has_cancellation()) {
    trace_.Break(job.job_id(), " ends ", v1::JobState_Name(job.state()), record.has_cancellation() ? " though" : " but was not",
                 " cancelled");
  }
  if (job.state() != v1::JOB_STATE_SUCCEEDED) return;
  const Nature& nature = workload_.Of(job.spec().name());
  const int64_t steps = nature.total_steps();
  if (job.result().samples() != steps || job.result().sample_digest() != absl::StrCat(VisitSamples(0, 0, steps))) {
    trace_.Break(job.job_id(), " has not visited every sample once: ", job.result().samples(), " of ", steps);
  }
  for (int epoch = 1; epoch <= nature.epochs; ++epoch) {
    if (job.epochs_size() != nature.epochs || job.epochs(epoch - 1).epoch() != epoch)
      trace_.Break(job.job_id(), " lacks an epoch");
  }
  ledger_.OnResult({job.job_id(), job.generation()});
}

void Promises::OnEvent(const v1::JobEvent& event) {
  Job& job = jobs_[event.job_id()];
  if (event.sequence() != ++job.events) trace_.Break(event.job_id(), ": event ", event.sequence(), " is the ", job.events, "th");
  if (job.terminal) trace_.Break(event.job_id(), ": an event follows its end");
  if (event.has_state_change()) {
    job.terminal = coordinator::IsTerminal(event.state_change().to());
    trace_.Say(event.job_id(), "/g", event.generation(), " ", v1::JobState_Name(event.state_change().to()), ": ",
               event.state_change().reason());
  } else if (event.has_artifact()) {
    OnCommit(event.job_id(), job, event.artifact());
  } else if (event.has_failure()) {
    trace_.Say(event.job_id(), "/g", event.generation(), " fails: ", coordinator::Describe(event.failure()));
    const v1::Failure& failure = event.failure();
    if (failure.cause() == v1::FAILURE_CAUSE_HANG && !stood_still_.contains({event.job_id(), event.generation(), failure.rank()}))
      trace_.Break(event.job_id(), "/g", event.generation(), ": rank ", failure.rank(),
                   " is said to hang, and never stood still");
  } else if (int number = 0; absl::SimpleAtoi(absl::StripPrefix(event.notice().text(), "note "), &number)) {
    int& last = job.notes[{event.generation(), event.notice().rank()}];
    if (number != last + 1) {
      trace_.Break(event.job_id(), "/g", event.generation(), " rank ", event.notice().rank(), ": report ", number, " follows ",
                   last);
    }
    last = number;
  }
}

// A run has room for all that there ever were: what is gone is still known here.
void Promises::OnDeletion(const coordinator::Deletion& deletion) {
  const JobRecord& record = records_[deletion.job_id()];
  if (!coordinator::IsTerminal(record.job().state())) trace_.Break(deletion.job_id(), " is deleted before its end");
  if (!deleted_.insert(deletion.job_id()).second) trace_.Break(deletion.job_id(), " is deleted twice");
  news_ = true;
}

void Promises::OnCommit(const std::string& job_id, Job& job, const v1::Artifact& artifact) {
  trace_.Say(job_id, "/g", artifact.generation(), " commits ", artifact.path());
  const JobRecord& record = records_[job_id];
  if (artifact.generation() != record.job().generation() || artifact.generation() < job.last_commit_by) {
    trace_.Break(job_id, ": generation ", artifact.generation(), " commits while ", record.job().generation(), " is the newest");
  }
  job.last_commit_by = artifact.generation();
  job.artifacts.insert({artifact.path(), artifact.generation()});
  if (artifact.kind() == v1::ARTIFACT_KIND_BEST_MODEL) return;
  if (artifact.samples() != artifact.step() || artifact.sample_digest() != absl::StrCat(VisitSamples(0, 0, artifact.step()))) {
    trace_.Break(job_id, ": the committed history visits a sample twice or not at all by step ", artifact.step());
  }
  job.newest = artifact;
  ledger_.OnCommitted({job_id, artifact.generation()}, artifact.step());
}

bool Promises::MayBeLost(const v1::Artifact& artifact, const std::string& job_id) const {
  return damaged_.contains({job_id, artifact.generation(), artifact.step()}) ||
         unpublishable_.contains({artifact.path(), artifact.generation()});
}

// The newest committed checkpoint is what the job goes on from, and no older one unless that can't be.
void Promises::CheckCheckpoint(const std::string& job_id) {
  Job& job = jobs_[job_id];
  const v1::Artifact& now = records_[job_id].job().checkpoint();
  const auto is = [&now](const v1::Artifact& a) { return a.path() == now.path() && a.generation() == now.generation(); };
  if (is(job.newest)) return;
  if (!MayBeLost(job.newest, job_id)) {
    trace_.Break(job_id, " gives up its committed checkpoint ", job.newest.path(), " of g", job.newest.generation(), " for '",
                 now.path(), "'");
  }
  if (!now.path().empty() && !job.artifacts.contains({now.path(), now.generation()})) {
    trace_.Break(job_id, " would go on from ", now.path(), ", which was never committed");
  }
  job.newest = now;
}

// What `pixelrecctl explain` tells of a job's time adds up to it, whatever happened.
void Promises::CheckStory(const std::string& job_id) {
  if (deleted_.contains(job_id)) return;
  const JobEntry& entry = replayed_.jobs.at(replayed_.by_id.at(job_id));
  v1::ListJobEventsResponse history;
  absl::Time before = absl::InfinitePast();
  for (const v1::JobEvent& event : entry.events) {
    const absl::Time time = absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
    if (time < before) return;  // the wall clock was set back, and there is no telling how long a span was
    before = time;
    *history.add_events() = event;
  }
  const ctl::JobStory story = ctl::StoryOf(entry.job(), history, before);
  const absl::Time created =
      absl::FromUnixSeconds(history.events(0).time().seconds()) + absl::Nanoseconds(history.events(0).time().nanos());
  absl::Duration sum;
  for (const ctl::TimeBucket bucket : ctl::kTimeBuckets) {
    if (story.In(bucket) < absl::ZeroDuration())
      trace_.Break(job_id, ": less than nothing went into ", std::string(ctl::BucketName(bucket)));
    sum += story.In(bucket);
  }
  if (sum != before - created) {
    trace_.Break(job_id, ": its story tells of ", absl::FormatDuration(sum), " of ", absl::FormatDuration(before - created));
  }
}

void Promises::OnSpawn(size_t worker, const v1::StartRank& order, const Trainer* other) {
  trace_.Say("w", worker, " starts ", order.job_id(), "/g", order.generation(), " ", v1::TrainerRole_Name(order.plan().role()),
             " rank ", order.plan().rank(), " of ", order.plan().world_size());
  if (other != nullptr) trace_.Break("w", worker, " runs two ranks");
  const bool prepares = order.plan().role() == v1::TRAINER_ROLE_PREPARE;
  const std::string where = prepares ? absl::StrCat("w", worker) : "";
  if (!spawned_.insert({order.job_id(), order.generation(), order.plan().rank(), where}).second) {
    trace_.Break(order.job_id(), "/g", order.generation(), " rank ", order.plan().rank(), " runs a second time");
  }
}

void Promises::OnPause(const Trainer& trainer) {
  stood_still_.insert({trainer.order.job_id(), trainer.order.generation(), trainer.rank()});
}

void Promises::OnRestore(const v1::StartRank& order, const Saved* found) {
  const v1::Artifact& wanted = order.plan().resume_from();
  const JobRecord& record = records_[order.job_id()];
  const bool current = record.job().generation() == order.generation() && !record.gang().over() && !record.gang().has_failure();
  if (!current || MayBeLost(wanted, order.job_id())) return;
  if (found == nullptr || found->step != wanted.step() || found->generation != wanted.generation()) {
    trace_.Break(order.job_id(), "/g", order.generation(), " finds ",
                 found == nullptr ? "nothing" : absl::StrCat("step ", found->step, " of g", found->generation), " at ",
                 wanted.path(), ", where step ", wanted.step(), " of g", wanted.generation(), " was committed");
  }
}

void Promises::OnStage(const std::string& folder, const Saved* before, const Saved& saved) {
  if (before != nullptr && before->generation != saved.generation) {
    trace_.Break("generations ", before->generation, " and ", saved.generation, " write ", folder);
  }
}

void Promises::OnPublished(const v1::CommitArtifact& order, const absl::Status& status) {
  const v1::Artifact& artifact = order.artifact();
  trace_.Say(order.job_id(), "/g", order.generation(), status.ok() ? " has published " : " can't publish ", artifact.path(),
             " of g", artifact.generation(), status.ok() ? "" : ": ", std::string(status.message()));
  if (!jobs_[order.job_id()].artifacts.contains({artifact.path(), artifact.generation()})) {
    trace_.Break(artifact.path(), " is published and isn't committed");
  }
  if (status.ok()) return;
  const auto& unpublished = records_[order.job_id()].unpublished();
  const bool awaited = std::any_of(unpublished.begin(), unpublished.end(), [&](const v1::Artifact& a) {
    return a.path() == artifact.path() && a.generation() == artifact.generation();
  });
  if (!absl::IsResourceExhausted(status) && awaited && !MayBeLost(artifact, order.job_id())) {
    trace_.Break(artifact.path(), " of g", artifact.generation(), " is committed and can't be published: ", status.ToString());
  }
  unpublishable_.insert({artifact.path(), artifact.generation()});
}

void Promises::OnRemoved(const std::string& folder, const Saved& saved) {
  const JobRecord& record = records_[saved.job_id];
  const auto check = [&](const v1::Artifact& artifact, const char* what) {
    if (absl::EndsWith(artifact.path(), "/" + saved.name) && artifact.generation() == saved.generation &&
        artifact.step() == saved.step && !MayBeLost(artifact, saved.job_id)) {
      trace_.Break(folder, " is removed, and is ", what);
    }
  };
  for (const v1::Artifact& artifact : record.checkpoints()) check(artifact, "a checkpoint to go on from");
  for (const v1::Artifact& artifact : record.unpublished()) {
    // One that is given up goes with its successor, whether its publication is known or not.
    const auto& given_up = record.reaping();
    const bool wanted = std::none_of(given_up.begin(), given_up.end(),
                                     [&](const coordinator::Reaping& r) { return r.checkpoint().path() == artifact.path(); });
    if (wanted) check(artifact, "committed and not published yet");
  }
  check(record.job().best_model(), "the best model");
}

void Promises::CheckPlacement(const State& state) {
  for (const auto& [number, entry] : state.jobs) {
    if (entry.job().state() == v1::JOB_STATE_PAUSED && entry.gang_lives())
      trace_.Break(entry.job().job_id(), " is paused and holds workers");
  }
  std::map<std::string, std::string> taken;  // worker -> job
  for (uint64_t number : state.live) {
    const JobEntry& entry = state.jobs.at(number);
    for (const coordinator::GangRank& rank : entry.record.gang().ranks()) {
      if (rank.ended()) continue;
      const auto [it, fresh] = taken.emplace(rank.worker_id(), entry.job().job_id());
      if (!fresh) trace_.Break(rank.worker_id(), " works for ", it->second, " and ", entry.job().job_id());
    }
  }
}

// Whoever waits knows why, and the first in the queue doesn't wait for what is there.
void Promises::CheckWaiting(const State& state, coordinator::Now now) {
  const int free = CountSlots(state, now).free();
  for (const auto& [place, waiting] : state.waiting) {
    const JobEntry& entry = state.jobs.at(place.number);
    if (!absl::StrContains(ViewJob(state, entry, now).reason(), "needs "))
      trace_.Break(entry.job().job_id(), " waits without a reason");
    if (entry.retry_at > now.steady) continue;
    const auto fit = std::count_if(state.workers.begin(), state.workers.end(), [&](const auto& worker) {
      return worker.second.idle(now) &&
             std::count(entry.record.unfit_hosts().begin(), entry.record.unfit_hosts().end(), worker.second.info.host()) == 0;
    });
    const int idle = std::min(free, static_cast<int>(fit));
    if (idle >= waiting.needed) {
      trace_.Break(entry.job().job_id(), " waits, and ", idle, " workers are free: ", ViewJob(state, entry, now).reason());
    }
    return;
  }
}

void Promises::OnSubmitted(const std::string& request_id, const v1::JobSpec& spec, const v1::Job& job) {
  CatchUp();
  const std::string bytes = coordinator::CanonicalBytes(spec);
  const auto [it, fresh] = submitted_.emplace(request_id, std::pair(job.job_id(), bytes));
  if (!fresh && it->second.first != job.job_id()) {
    trace_.Break("request ", request_id, " made both ", it->second.first, " and ", job.job_id());
  }
  if (!records_.contains(job.job_id())) trace_.Break(job.job_id(), " was acknowledged before it was durable");
}

void Promises::OnCancelled(const v1::Job& job) {
  CatchUp();
  cancelled_.insert(job.job_id());
  if (!records_[job.job_id()].has_cancellation()) {
    trace_.Break("the cancellation of ", job.job_id(), " was acknowledged before it was durable");
  }
}

void Promises::OnDeleted(const std::string& job_id) {
  CatchUp();
  if (!deleted_.contains(job_id)) trace_.Break("the deletion of ", job_id, " was acknowledged before it was durable");
}

void Promises::OnAsked(const std::string& job_id, const std::string& request_id) {
  CatchUp();
  const auto& known = records_[job_id].request_ids();
  if (std::find(known.begin(), known.end(), request_id) == known.end()) {
    trace_.Break("request ", request_id, " about ", job_id, " was acknowledged before it was durable");
  }
}

bool Promises::IsDeleted(const std::string& request_id) const {
  const auto made = submitted_.find(request_id);
  return made != submitted_.end() && deleted_.contains(made->second.first);
}

void Promises::CheckAcknowledged(const State& state) {
  for (const auto& [request_id, made] : submitted_) {
    auto it = state.by_id.find(made.first);
    if (deleted_.contains(made.first)) {
      if (it != state.by_id.end()) trace_.Break(made.first, " was deleted and is there");
      continue;
    }
    const JobRecord* record = it == state.by_id.end() ? nullptr : &state.jobs.at(it->second).record;
    if (record == nullptr || record->request_id() != request_id ||
        coordinator::CanonicalBytes(record->job().spec()) != made.second) {
      trace_.Break("the acknowledged submission ", request_id, " of ", made.first, " is lost");
    }
  }
  for (const std::string& job_id : cancelled_) {
    auto it = state.by_id.find(job_id);
    if (deleted_.contains(job_id)) continue;
    if (it == state.by_id.end() || !state.jobs.at(it->second).record.has_cancellation()) {
      trace_.Break("the acknowledged cancellation of ", job_id, " is lost");
    }
  }
}

void Promises::CheckAtRest(const State& state) {
  CatchUp();
  CheckEqualsJournal(state, "at rest");
  CheckAcknowledged(state);
  for (const auto& [number, entry] : state.jobs) {
    if (!entry.ended()) trace_.Break(entry.job().job_id(), " never ends: ", entry.job().reason());
    const v1::Artifact& checkpoint = entry.job().checkpoint();
    const auto& unpublished = entry.record.unpublished();
    const bool awaited =
        std::any_of(unpublished.begin(), unpublished.end(), [&](const v1::Artifact& a) { return a.path() == checkpoint.path(); });
    if (checkpoint.path().empty() || awaited || MayBeLost(checkpoint, entry.job().job_id())) continue;
    const Saved* found = files_.Read(checkpoint.path());
    if (found == nullptr || found->generation != checkpoint.generation() || found->step != checkpoint.step()) {
      trace_.Break(checkpoint.path(), " isn't what was committed");
    }
  }
  for (const auto& [id, worker] : state.workers) {
    if (!worker.ranks.empty()) trace_.Break("the coordinator still sees ", worker.ranks.begin()->first.job_id, " on ", id);
  }
}

}  // namespace pixelrec::simulator
