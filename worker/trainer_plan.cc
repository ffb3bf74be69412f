#include "worker/trainer_plan.h"

#include <signal.h>

#include <iostream>

#include "common/process/parent.h"
#include "worker/data/prepare.h"
#include "worker/tokenizer/tokenizer.h"
#include "worker/train/compute_type.h"
#include "worker/train/failure.h"
#include "worker/train/trainer.h"
#include "worker/trainer_link.h"
#include "worker/trainer_records.h"

namespace pixelrec {
namespace {

constexpr int kFailed = 1;  // the failure itself was reported over the channel

absl::Status Prepare(TrainerLink& link) {
  data::PrepareOptions options = ToPrepareOptions(link.plan());
  dist::Whereabouts whereabouts({.publish = [&](const dist::Whereabouts::Place& place) { link.At(place); }});
  whereabouts.Enter(dist::Section::kPrepare);
  options.progress = [&](const std::string& section, double fraction) {
    whereabouts.Enter(dist::Section::kPrepare);
    link.Progress({.section = "prepare: " + section, .section_fraction = fraction});
  };
  auto report = data::Prepare(options);
  if (!report.ok()) {
    if (tokenizer::BlamesModel(report.status())) return train::WithKind(report.status(), train::FailureKind::kBadModel);
    const bool full = absl::IsResourceExhausted(report.status());
    return train::WithKind(report.status(), full ? train::FailureKind::kDiskFull : train::FailureKind::kBadData);
  }
  link.Report(ToProto(*report));
  return absl::OkStatus();
}

absl::Status Train(TrainerLink& link) {
  train::TrainJob job = ToTrainJob(link.plan_command());
  job.hardware = train::DetectHardware();
  return train::RunTraining(job, link);
}

}  // namespace

int RunPlan(int channel_fd, int position_fd) {
  if (auto status = process::DieWithPeer(channel_fd); !status.ok()) {
    std::cerr << "error: --channel-fd: " << status.message() << "\n";
    return kFailed;
  }
  signal(SIGPIPE, SIG_IGN);
  auto link = TrainerLink::Open(channel_fd, position_fd);
  if (!link.ok()) {
    std::cerr << "error: no plan from the worker: " << link.status().message() << "\n";
    return kFailed;
  }
  TrainerLink& worker = **link;
  const bool prepare = worker.plan().role() == v1::TRAINER_ROLE_PREPARE;
  const absl::Status status = train::Fenced([&] { return prepare ? Prepare(worker) : Train(worker); });
  if (status.ok()) return 0;
  if (absl::IsCancelled(status)) {
    std::cerr << status.message() << "\n";
    return 0;
  }
  std::cerr << "error: " << status.message() << "\n";
  v1::Failure failure = ToProto(train::Classify(status), worker.plan().rank());
  if (failure.cause() == v1::FAILURE_CAUSE_CHECKPOINT_DAMAGED) failure.set_checkpoint(worker.plan().resume_from().path());
  worker.Report(std::move(failure));
  return kFailed;
}

}  // namespace pixelrec
