#include "worker/agent/trainer_process.h"

#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "worker/agent/visible_gpu.h"

namespace pixelrec::agent {
namespace {

// What a trainer may see of the worker's environment, and the worker's GPU.
std::vector<std::string> TrainerEnvironment(const std::string& visible_gpu) {
  std::vector<std::string> environment = process::AllowedEnvironment(
      {"PATH",   "HOME",         "USER",         "LANG",          "LC_*",         "TZ",     "TMPDIR", "LD_LIBRARY_PATH",
       "CUDA_*", "NVIDIA_*",     "CUBLAS_*",     "NCCL_*",        "TORCH_NCCL_*", "GLOO_*", "OMP_*",  "MKL_*",
       "KMP_*",  "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"});
  const std::string name = absl::StrCat(kVisibleGpus, "=");
  std::erase_if(environment, [&](const std::string& entry) { return absl::StartsWith(entry, name); });
  environment.push_back(name + visible_gpu);
  return environment;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainerProcess>> TrainerProcess::Start(const std::filesystem::path& program,
                                                                      const std::filesystem::path& log,
                                                                      const std::string& visible_gpu) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return storage::ErrnoStatus(errno, "can't make a socket pair for", program);
  storage::UniqueFd ours(pair[0]), theirs(pair[1]);
  auto position = channel::PositionPage::Create();
  if (!position.ok()) return position.status();
  auto child = process::Child::Spawn({.program = program,
                                      .arguments = {"--channel-fd", absl::StrCat(process::kInheritedFd), "--position-fd",
                                                    absl::StrCat(process::kInheritedFd + 1)},
                                      .environment = TrainerEnvironment(visible_gpu),
                                      .inherited_fds = {theirs.get(), position->fd()},
                                      .output = log});
  if (!child.ok()) return child.status();
  return std::unique_ptr<TrainerProcess>(new TrainerProcess(*std::move(child), std::move(ours), *std::move(position), log));
}

absl::Status TrainerProcess::MoveLog(const std::filesystem::path& log) {
  if (rename(log_.c_str(), log.c_str()) != 0) return storage::ErrnoStatus(errno, "can't rename a trainer's log to", log);
  log_ = log;
  return absl::OkStatus();
}

void TrainerProcess::Send(const v1::TrainerCommand& command) {
  // A plan that is too large can't come: the session's receive limit is lower.
  if (absl::StatusOr<std::string> frame = channel::EncodeFrame(command); frame.ok()) outgoing_ += *frame;
  Flush();
}

void TrainerProcess::Flush() {
  while (socket_.valid() && !outgoing_.empty()) {
    const ssize_t sent = send(socket_.get(), outgoing_.data(), outgoing_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      outgoing_.erase(0, static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      outgoing_.clear();  // it is dead or dying; its exit follows
    }
  }
  if (!socket_.valid()) outgoing_.clear();
}

absl::Status TrainerProcess::Receive(size_t limit_bytes, std::vector<v1::TrainerReport>& reports) {
  char buffer[64 << 10];
  size_t received = 0;
  while (socket_.valid() && received < limit_bytes) {
    const ssize_t got = recv(socket_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (got <= 0) {
      socket_.reset();
      break;
    }
    received += static_cast<size_t>(got);
    reader_.Append(absl::string_view(buffer, static_cast<size_t>(got)));
    for (;;) {
      v1::TrainerReport report;
      const absl::StatusOr<bool> next = reader_.Next(report);
      if (!next.ok()) {
        socket_.reset();
        return next.status();
      }
      if (!*next) break;
      reports.push_back(std::move(report));
    }
  }
  return absl::OkStatus();
}

void TrainerProcess::Kill() { child_->Signal(SIGKILL); }

}  // namespace pixelrec::agent
