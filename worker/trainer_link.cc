#include "worker/trainer_link.h"

#include <unistd.h>

#include "common/process/memory.h"
#include "worker/trainer_position.h"
#include "worker/trainer_records.h"

namespace pixelrec {

TrainerLink::TrainerLink(int channel_fd) : channel_(channel_fd) {}

absl::StatusOr<std::unique_ptr<TrainerLink>> TrainerLink::Open(int channel_fd, int position_fd) {
  std::unique_ptr<TrainerLink> link(new TrainerLink(channel_fd));
  if (position_fd >= 0) {
    auto page = channel::PositionPage::Open(position_fd);
    if (!page.ok()) return page.status();
    link->position_.emplace(*std::move(page));
  }
  if (auto status = link->channel_.Read(link->plan_command_); !status.ok()) return status;
  if (!link->plan_command_.has_plan()) return absl::DataLossError("the worker's first message was not a plan");
  v1::TrainerReport hello;
  hello.mutable_hello()->set_pid(getpid());
  hello.mutable_hello()->set_version(PIXELREC_VERSION);
  link->Send(std::move(hello));
  link->reader_ = std::thread([raw = link.get()] { raw->ReadCommands(); });
  return link;
}

TrainerLink::~TrainerLink() {
  channel_.Shutdown();
  if (reader_.joinable()) reader_.join();
}

void TrainerLink::ReadCommands() {
  v1::TrainerCommand command;
  while (channel_.Read(command).ok()) {
    if (command.job_id() == plan_command_.job_id() && command.generation() == plan_command_.generation()) Apply(command);
  }
  const std::lock_guard lock(mutex_);
  worker_gone_ = true;
  changed_.notify_all();
}

void TrainerLink::Apply(const v1::TrainerCommand& command) {
  const std::lock_guard lock(mutex_);
  if (command.has_rendezvous()) store_ = command.rendezvous();
  if (command.has_stop())
    stop_ = train::StopRequest{.checkpoint = command.stop().checkpoint(), .reason = command.stop().reason()};
  if (command.has_artifact_committed())
    committed_.insert({command.artifact_committed().path(), command.artifact_committed().step()});
  changed_.notify_all();
}

void TrainerLink::Send(v1::TrainerReport report) {
  report.set_job_id(plan_command_.job_id());
  report.set_generation(plan_command_.generation());
  report.set_rank(plan().rank());
  // A worker that is gone takes this process with it (PR_SET_PDEATHSIG); where it closed the channel only, the reader notices.
  channel_.Write(report).IgnoreError();
}

template <typename Done>
bool TrainerLink::Wait(const Done& done) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done() || worker_gone_; });
  return done();
}

void TrainerLink::StoreOpened(const std::string& host, int port) {
  v1::TrainerReport report;
  report.mutable_store_opened()->set_host(host);
  report.mutable_store_opened()->set_port(port);
  Send(std::move(report));
}

absl::StatusOr<std::pair<std::string, int>> TrainerLink::WaitForStore() {
  if (!Wait([&] { return store_.has_value(); }))
    return absl::UnavailableError("the worker closed the channel before rank 0 was known");
  return std::pair(store_->host(), static_cast<int>(store_->port()));
}

void TrainerLink::TrainingStarted(int64_t step) {
  v1::TrainerReport report;
  report.mutable_training_started()->set_step(step);
  Send(std::move(report));
}

void TrainerLink::Progress(const train::ProgressRecord& progress) {
  v1::TrainerReport report;
  *report.mutable_progress() = ToProto(progress);
  report.mutable_progress()->set_resident_bytes(process::ResidentBytes(0).value_or(0));
  Send(std::move(report));
}

void TrainerLink::StepTimed(const train::StepRecord& step) {
  v1::TrainerReport report;
  *report.mutable_step_timings() = ToProto(step);
  report.mutable_step_timings()->set_resident_bytes(process::ResidentBytes(0).value_or(0));
  Send(std::move(report));
}

void TrainerLink::EpochFinished(const train::EpochRecord& epoch) {
  v1::TrainerReport report;
  *report.mutable_epoch_result() = ToProto(epoch);
  Send(std::move(report));
}

void TrainerLink::ArtifactStaged(const train::ArtifactRecord& artifact) {
  v1::TrainerReport report;
  *report.mutable_artifact_staged() = ToProto(artifact);
  report.mutable_artifact_staged()->set_generation(plan_command_.generation());
  Send(std::move(report));
}

void TrainerLink::At(const dist::Whereabouts::Place& place) {
  if (position_) position_->Write(ToPosition(place));
}

void TrainerLink::Notice(bool warning, const std::string& text) {
  v1::TrainerReport report;
  report.mutable_notice()->set_severity(warning ? v1::NOTICE_SEVERITY_WARNING : v1::NOTICE_SEVERITY_INFO);
  report.mutable_notice()->set_text(text);
  report.mutable_notice()->set_rank(plan().rank());
  Send(std::move(report));
}

void TrainerLink::Finished(const train::ResultRecord& result) {
  v1::TrainerReport report;
  *report.mutable_result() = ToProto(result);
  Send(std::move(report));
}

std::optional<train::StopRequest> TrainerLink::StopRequested() {
  const std::lock_guard lock(mutex_);
  if (worker_gone_ && !stop_) return train::StopRequest{.checkpoint = false, .reason = "the worker closed the channel"};
  return stop_;
}

absl::Status TrainerLink::WaitUntilCommitted(const std::filesystem::path& path, int64_t step) {
  if (Wait([&] { return committed_.contains({path.string(), step}); })) return absl::OkStatus();
  return absl::UnavailableError("the worker closed the channel before " + path.string() + " was committed");
}

void TrainerLink::Report(const v1::DatasetPrepared& prepared) {
  v1::TrainerReport report;
  *report.mutable_dataset_prepared() = prepared;
  Send(std::move(report));
}

void TrainerLink::Report(const v1::Failure& failure) {
  v1::TrainerReport report;
  *report.mutable_failure() = failure;
  Send(std::move(report));
}

}  // namespace pixelrec
