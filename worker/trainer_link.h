// The trainer's end of the channel to its worker: commands in, reports out. Protobuf on this side, plain structs on the other.
//
// Threads: one reader thread inside; the calls of WorkerLink come from the training thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/channel/channel.h"
#include "worker/channel/position_page.h"
#include "worker/train/train_job.h"

namespace pixelrec {

class TrainerLink : public train::WorkerLink {
 public:
  // Says hello and reads the plan. position_fd -1: nobody watches. INVALID_ARGUMENT: it is no page of a position. DATA_LOSS,
  // UNAVAILABLE: the worker closed the channel or sent something else first.
  static absl::StatusOr<std::unique_ptr<TrainerLink>> Open(int channel_fd, int position_fd);
  ~TrainerLink() override;

  const v1::TrainerCommand& plan_command() const { return plan_command_; }
  const v1::TrainerPlan& plan() const { return plan_command_.plan(); }

  void StoreOpened(const std::string& host, int port) override;
  absl::StatusOr<std::pair<std::string, int>> WaitForStore() override;
  void TrainingStarted(int64_t step) override;
  void Progress(const train::ProgressRecord& progress) override;
  void StepTimed(const train::StepRecord& step) override;
  void EpochFinished(const train::EpochRecord& epoch) override;
  void ArtifactStaged(const train::ArtifactRecord& artifact) override;
  void At(const dist::Whereabouts::Place& place) override;
  void Notice(bool warning, const std::string& text) override;
  void Finished(const train::ResultRecord& result) override;
  std::optional<train::StopRequest> StopRequested() override;
  absl::Status WaitUntilCommitted(const std::filesystem::path& path, int64_t step) override;

  void Report(const v1::DatasetPrepared& prepared);
  void Report(const v1::Failure& failure);

 private:
  explicit TrainerLink(int channel_fd);
  void ReadCommands();
  void Apply(const v1::TrainerCommand& command);
  void Send(v1::TrainerReport report);
  template <typename Done>
  bool Wait(const Done& done);

  channel::Channel channel_;
  std::optional<channel::PositionPage> position_;
  v1::TrainerCommand plan_command_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<v1::Rendezvous> store_;
  std::optional<train::StopRequest> stop_;
  std::set<std::pair<std::string, int64_t>> committed_;
  bool worker_gone_ = false;
  std::thread reader_;
};

}  // namespace pixelrec
