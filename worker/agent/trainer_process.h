// A trainer process and this end of its channel, for a poll loop: nothing here blocks.
//
// Threads: one, which must live as long as the daemon (see common/process/child.h).
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/process/child.h"
#include "common/storage/unique_fd.h"
#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/channel/framing.h"
#include "worker/channel/position_page.h"

namespace pixelrec::agent {

class TrainerProcess {
 public:
  // Starts `program --channel-fd N --position-fd M` with its output appended to `log`. It sees the GPU `visible_gpu` alone
  // (visible_gpu.h).
  static absl::StatusOr<std::unique_ptr<TrainerProcess>> Start(const std::filesystem::path& program,
                                                               const std::filesystem::path& log, const std::string& visible_gpu);

  // Its output goes on in `log`, in place of where it began: the file is renamed, with all that it holds. Errors as errno says.
  absl::Status MoveLog(const std::filesystem::path& log);

  pid_t pid() const { return child_->pid(); }
  int pidfd() const { return child_->pidfd(); }
  const std::filesystem::path& log() const { return log_; }

  // -1 after the channel's end. Poll it for reading, and for writing while wants_write().
  int channel_fd() const { return socket_.get(); }
  bool wants_write() const { return !outgoing_.empty(); }

  // Queued, and written as far as the socket takes it. A trainer that doesn't read only fills this queue: orders are few and
  // small.
  void Send(const v1::TrainerCommand& command);
  void Flush();

  // What has arrived, up to about `limit_bytes` of it, so that a chatty trainer can't hold up the loop. After the channel's end
  // channel_fd() is -1. DATA_LOSS: what came is no report.
  absl::Status Receive(size_t limit_bytes, std::vector<v1::TrainerReport>& reports);

  // Where it is; nothing before it begins to work.
  std::optional<channel::Position> position() const { return position_.Read(); }
  bool IsStopped() const { return child_->IsStopped(); }

  void Kill();
  // Never blocks.
  std::optional<process::Exit> Reap() { return child_->Reap(); }

 private:
  TrainerProcess(std::unique_ptr<process::Child> child, storage::UniqueFd socket, channel::PositionPage position,
                 std::filesystem::path log)
      : child_(std::move(child)), socket_(std::move(socket)), position_(std::move(position)), log_(std::move(log)) {}

  std::unique_ptr<process::Child> child_;
  storage::UniqueFd socket_;
  channel::PositionPage position_;
  std::filesystem::path log_;
  std::string outgoing_;
  channel::FrameReader reader_;
};

}  // namespace pixelrec::agent
