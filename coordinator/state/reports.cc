// What ranks report. Each report is acknowledged once its effect is durable; repeats and stale generations have none.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "coordinator/state/failures.h"
#include "coordinator/state/metric_point.h"
#include "coordinator/state/reaping.h"
#include "coordinator/state/stepper.h"
#include "coordinator/state/stop.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

using google::protobuf::util::TimeUtil;

using v1::RankReport;
using v1::TrainerReport;

void Stepper::Ack(const WorkerEntry& worker, const RankReport& report, uint64_t sequence) {
  v1::SessionResponse message;
  v1::ReportAck& ack = *message.mutable_report_ack();
  ack.set_job_id(report.job_id());
  ack.set_generation(report.generation());
  ack.set_rank(report.rank());
  ack.set_sequence(sequence);
  Send(worker, std::move(message));
}

void Stepper::On(const RankReported& reported) {
  auto it = state_.workers.find(reported.worker_id);
  if (it == state_.workers.end() || it->second.session != reported.session || it->second.lost) {
    return;  // from a session that was replaced or given up; the worker repeats it in the next one
  }
  WorkerEntry& worker = it->second;
  const RankReport& report = reported.report;
  JobEntry* found = FindById(report.job_id());
  const bool current = found != nullptr && found->gang_lives() && found->job().generation() == report.generation();
  GangRank* rank = current ? FindRank(*found, report.rank(), worker) : nullptr;
  if (rank == nullptr) {
    OnStale(worker, report);
    return;
  }
  const bool progress = report.trainer().has_progress();
  JobEntry& entry = progress ? *found : Touch(found->record.number());
  uint64_t& seen = entry.seen[{rank->rank(), worker.id}];
  seen = std::max(seen, rank->sequence());
  if (report.sequence() <= seen) {
    Ack(worker, report, seen);
    return;
  }
  seen = report.sequence();
  if (progress) {
    if (rank->rank() == 0) {
      if (auto point = TrainingPoint(report, entry.progress, now_)) {
        outcome_.actions.push_back(RecordPoint{entry.record.number(), report.trainer().progress().record(), *std::move(point)});
      }
      entry.progress = report.trainer().progress();
      v1::JobEvent event;
      *event.mutable_time() = TimeUtil::MicrosecondsToTimestamp(now_.wall.count());
      event.set_job_id(report.job_id());
      event.set_generation(report.generation());
      *event.mutable_progress() = *entry.progress;
      outcome_.actions.push_back(PublishEvent{entry.record.number(), std::move(event)});
    }
  } else {
    rank->set_sequence(report.sequence());
    if (auto point = EvaluationPoint(report, entry.job(), now_); point.has_value() && rank->rank() == 0) {
      outcome_.actions.push_back(RecordPoint{entry.record.number(), 0, *std::move(point)});
    }
    switch (report.body_case()) {
      case RankReport::kTrainer:
        OnTrainer(entry, *rank, worker, report.trainer());
        break;
      case RankReport::kExited:
        OnExited(entry, *rank, TouchWorker(worker.id), report.exited());
        break;
      case RankReport::kArtifactPublished:
        OnPublished(entry, report.artifact_published());
        break;
      case RankReport::kPublishFailed:
        OnPublishFailed(entry, *rank, report.publish_failed());
        break;
      case RankReport::BODY_NOT_SET:
        break;
    }
  }
  Ack(worker, report, report.sequence());
}

// Of an older generation, or of a rank that was given up: it may change nothing, and must end.
void Stepper::OnStale(WorkerEntry& worker, const RankReport& report) {
  const RankKey key{report.job_id(), report.generation(), report.rank()};
  if (report.has_exited()) {
    TouchWorker(worker.id).ranks.erase(key);
  } else if (report.has_artifact_published()) {
    // The one thing that is true whoever says it: a committed directory lies at its path.
    if (JobEntry* entry = FindById(report.job_id()); entry != nullptr && entry->record.unpublished_size() > 0) {
      OnPublished(Touch(entry->record.number()), report.artifact_published());
    }
  } else if (report.has_trainer()) {
    v1::SessionResponse message;
    v1::StopRank& stop = *message.mutable_stop_rank();
    stop.set_job_id(key.job_id);
    stop.set_generation(key.generation);
    stop.set_rank(key.rank);
    stop.set_now(true);
    Send(worker, std::move(message));
  }
  Ack(worker, report, report.sequence());
}

void Stepper::OnTrainer(JobEntry& entry, GangRank& rank, WorkerEntry& worker, const TrainerReport& report) {
  v1::JobEvent event;
  switch (report.body_case()) {
    case TrainerReport::kHello:
      rank.set_pid(report.hello().pid());
      break;
    case TrainerReport::kStoreOpened:
      OnStoreOpened(entry, rank, worker, report.store_opened());
      break;
    case TrainerReport::kTrainingStarted:
      OnStarted(entry, rank, report.training_started().step());
      break;
    case TrainerReport::kDatasetPrepared:
      OnPrepared(entry, rank, report.dataset_prepared());
      break;
    case TrainerReport::kEpochResult:
      OnEpoch(entry, report.epoch_result());
      break;
    case TrainerReport::kArtifactStaged:
      OnStaged(entry, rank, worker, report.artifact_staged());
      break;
    case TrainerReport::kNotice:
      *event.mutable_notice() = report.notice();
      Append(entry, std::move(event));
      break;
    case TrainerReport::kFailure:
      if (!rank.stopped()) {
        FailGang(entry, &rank, report.failure(), /*ends_itself=*/true);
        // It exits by itself, or is killed; neither is another failure.
        rank.set_stopped(true);
        SendStop(entry, rank, false);
      }
      if (report.failure().cause() == v1::FAILURE_CAUSE_WORKER_LOST) {
        // The worker itself says that it can't: it is about to leave. It gets no other rank while it does.
        TouchWorker(worker.id).rests_until = now_.steady + 2 * state_.policy.lease;
      }
      break;
    case TrainerReport::kResult:
      *entry.record.mutable_job()->mutable_result() = report.result();
      *event.mutable_result() = report.result();
      Append(entry, std::move(event));
      break;
    default:
      break;  // progress was handled before; step timings stay with the worker
  }
}

void Stepper::OnStoreOpened(JobEntry& entry, GangRank& rank, WorkerEntry& worker, v1::Rendezvous rendezvous) {
  if (rank.rank() != 0) {
    return;
  }
  if (rendezvous.host().empty()) {
    rendezvous.set_host(worker.info.advertise_address());
  }
  v1::SessionResponse message;
  v1::SetRendezvous& set = *message.mutable_set_rendezvous();
  set.set_job_id(entry.job().job_id());
  set.set_generation(entry.job().generation());
  *set.mutable_rendezvous() = rendezvous;
  *entry.record.mutable_gang()->mutable_rendezvous() = rendezvous;
  for (const GangRank& other : entry.record.gang().ranks()) {
    auto to = state_.workers.find(other.worker_id());
    if (other.rank() != 0 && !other.ended() && to != state_.workers.end()) {
      set.set_rank(other.rank());
      Send(to->second, message);
    }
  }
}

void Stepper::OnStarted(JobEntry& entry, GangRank& rank, int64_t from_step) {
  rank.set_started(true);
  const auto& ranks = entry.record.gang().ranks();
  const bool all = std::all_of(ranks.begin(), ranks.end(), [](const GangRank& r) { return r.started(); });
  if (all && entry.job().state() == v1::JOB_STATE_STARTING && !entry.record.gang().has_failure()) {
    entry.start_deadline.reset();
    entry.running_since = now_.steady;
    entry.counted_until = now_.steady;
    const std::string before = entry.job().reason();
    SetState(entry, v1::JOB_STATE_RUNNING,
             absl::StrCat("all ", ranks.size(), ranks.size() == 1 ? " rank" : " ranks", " of generation ",
                          entry.job().generation(), " train"),
             {.ranks = ranks.size(), .from_step = from_step});
    if (entry.record.has_cancellation() || entry.record.gang().has_stop()) {
      entry.record.mutable_job()->set_reason(before);  // which says that they are to end
    }
  }
}

void Stepper::OnPrepared(JobEntry& entry, GangRank& rank, const v1::DatasetPrepared& prepared) {
  v1::Job& job = *entry.record.mutable_job();
  if (!job.data_hash().empty() && job.data_hash() != prepared.data_hash()) {
    v1::Failure failure;
    failure.set_cause(v1::FAILURE_CAUSE_BAD_DATA);
    failure.set_message(absl::StrCat("host ", rank.host(), " prepared other data (hash ", prepared.data_hash(),
                                     ") than was prepared before (", job.data_hash(), ")"));
    failure.set_hint(
        "the files changed after the job was submitted, or hosts see different files under one path: submit the job again "
        "once they agree");
    FailGang(entry, &rank, std::move(failure));
    return;
  }
  job.set_data_hash(prepared.data_hash());
  entry.record.add_prepared_hosts(rank.host());
  v1::JobEvent event;
  *event.mutable_dataset_prepared() = prepared;
  Append(entry, std::move(event));
}

void Stepper::OnEpoch(JobEntry& entry, const v1::EpochResult& result) {
  auto& epochs = *entry.record.mutable_job()->mutable_epochs();
  // An epoch that a restart repeated counts once.
  auto same = std::find_if(epochs.begin(), epochs.end(), [&](const v1::EpochResult& e) { return e.epoch() == result.epoch(); });
  if (same != epochs.end()) {
    *same = result;
  } else {
    *epochs.Add() = result;
  }
  v1::JobEvent event;
  *event.mutable_epoch_result() = result;
  Append(entry, std::move(event));
}

void Stepper::OnStaged(JobEntry& entry, GangRank& rank, WorkerEntry& worker, v1::Artifact artifact) {
  artifact.set_generation(entry.job().generation());
  CountRunTime(entry);
  v1::Job& job = *entry.record.mutable_job();
  if (artifact.kind() == v1::ARTIFACT_KIND_BEST_MODEL) {
    *job.mutable_best_model() = artifact;
  } else {
    auto& checkpoints = *entry.record.mutable_checkpoints();
    RemovePath(checkpoints, artifact.path());
    *checkpoints.Add() = artifact;
    *job.mutable_checkpoint() = artifact;
    // A path that is written again is not damaged, nor to be removed, any more.
    RemovePath(*entry.record.mutable_damaged(), artifact.path());
    auto& reaping = *entry.record.mutable_reaping();
    reaping.erase(std::remove_if(reaping.begin(), reaping.end(),
                                 [&](const Reaping& r) { return r.checkpoint().path() == artifact.path(); }),
                  reaping.end());
    GiveUpAllBut(entry.record, std::max(1, job.spec().checkpoint().keep()), artifact.path());
  }
  RemovePath(*entry.record.mutable_unpublished(), artifact.path());
  *entry.record.add_unpublished() = artifact;
  SendCommit(entry, rank.rank(), worker, artifact);
  v1::JobEvent event;
  *event.mutable_artifact() = std::move(artifact);
  Append(entry, std::move(event));
}

void Stepper::OnPublished(JobEntry& entry, const v1::Artifact& artifact) {
  auto& unpublished = *entry.record.mutable_unpublished();
  unpublished.erase(std::remove_if(unpublished.begin(), unpublished.end(),
                                   [&](const v1::Artifact& a) {
                                     return a.path() == artifact.path() && a.generation() == artifact.generation();
                                   }),
                    unpublished.end());
  ForgetRemovedWith(entry.record, artifact.path());
}

void Stepper::OnPublishFailed(JobEntry& entry, GangRank& rank, const v1::Failure& failure) {
  auto& unpublished = *entry.record.mutable_unpublished();
  // Workers publish in the order they were told to: one that doesn't say which means the oldest.
  const auto found = std::find_if(unpublished.begin(), unpublished.end(), [&](const v1::Artifact& a) {
    return failure.checkpoint().empty() || a.path() == failure.checkpoint();
  });
  if (found == unpublished.end()) {
    return;
  }
  // It never came to be: forget that it was committed.
  const v1::Artifact failed = *found;
  unpublished.erase(found);
  TakeBack(entry.record, failed.path());
  v1::Job& job = *entry.record.mutable_job();
  job.clear_checkpoint();
  if (entry.record.checkpoints_size() > 0) {
    *job.mutable_checkpoint() = *entry.record.checkpoints().rbegin();
  }
  if (job.best_model().path() == failed.path()) {
    job.clear_best_model();
  }
  v1::Failure named = failure;
  named.set_message(absl::StrCat("could not publish ", failed.path(), ": ", failure.message()));
  FailGang(entry, &rank, std::move(named));
}

void Stepper::OnExited(JobEntry& entry, GangRank& rank, WorkerEntry& worker, const v1::RankExited& exited) {
  worker.ranks.erase(RankKey{entry.job().job_id(), entry.job().generation(), rank.rank()});
  if (rank.ended()) {
    return;
  }
  rank.set_ended(true);
  rank.set_exit_code(exited.exit_code());
  rank.set_signal(exited.signal());
  const bool abnormal = exited.exit_code() != 0 || exited.signal() != 0;
  const bool breaks_stop = abnormal && entry.record.gang().has_stop() && !StopsAtOnce(entry);
  if (entry.record.has_cancellation() || (rank.stopped() && !breaks_stop)) {
    return;
  }
  if (abnormal) {
    FailGang(entry, &rank, ClassifyExit(exited));
    return;
  }
  if (entry.record.gang().grows()) {
    return;  // as asked, with a checkpoint; or the job is done
  }
  const bool prepares = entry.record.gang().role() == v1::TRAINER_ROLE_PREPARE;
  const auto& hosts = entry.record.prepared_hosts();
  const bool done =
      prepares ? std::find(hosts.begin(), hosts.end(), rank.host()) != hosts.end() : rank.rank() != 0 || entry.job().has_result();
  if (!done) {
    // Trainers end like this only when their worker asks them to.
    v1::Failure failure;
    failure.set_cause(v1::FAILURE_CAUSE_WORKER_LOST);
    failure.set_message(prepares ? "the trainer was stopped by its worker before the dataset was prepared"
                                 : "the ranks were stopped by a worker before the job was done");
    failure.set_hint(
        "a worker of the gang is stopping, or could not reach the coordinator for too long: see the workers' own logs");
    FailGang(entry, &rank, std::move(failure));
  }
}

}  // namespace pixelrec::coordinator
