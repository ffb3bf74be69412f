#include "worker/agent/agent.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// Of one trainer's messages between two looks at everything else.
constexpr size_t kReceiveAtOnce = 256 << 10;

std::function<double()> Uniform() {
  return [generator = std::mt19937_64(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0, 1)(generator);
  };
}

absl::Status MakeWritable(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return storage::ErrnoStatus(error.value(), "can't make", directory);
  if (access(directory.c_str(), W_OK | X_OK) != 0) return storage::ErrnoStatus(errno, "can't write to", directory);
  return absl::OkStatus();
}

absl::Status CheckProgram(const fs::path& program) {
  std::error_code error;
  if (fs::is_directory(program, error)) return storage::ErrnoStatus(EACCES, "can't run the trainer", program);
  if (access(program.c_str(), X_OK) != 0) return storage::ErrnoStatus(errno, "can't run the trainer", program);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(Options options) {
  for (const fs::path& directory : {options.config.work_dir / "logs", options.config.dataset_cache_dir}) {
    if (absl::Status status = MakeWritable(directory); !status.ok()) return status;
  }
  if (absl::Status status = CheckProgram(options.config.trainer); !status.ok()) return status;
  auto dialer =
      rpc::Dialer::Create({.address = options.config.coordinator, .security = options.config.security, .log = options.log});
  if (!dialer.ok()) return dialer.status();
  return std::unique_ptr<Agent>(new Agent(std::move(options), *std::move(dialer)));
}

Agent::Agent(Options options, std::unique_ptr<rpc::Dialer> dialer)
    : options_(std::move(options)),
      dialer_(std::move(dialer)),
      allowed_(options_.config.roots),
      logs_(options_.config.work_dir),
      session_({.random = Uniform()}),
      slot_({.worker_id = options_.config.worker_id, .stop_grace = options_.stop_grace}),
      metrics_(*options_.registry, options_.metrics_grace),
      spare_({.wanted = options_.config.warm_spare, .start = [this] { return StartSpare(); }, .log = options_.log}) {}

Agent::~Agent() {
  if (stream_ != nullptr) stream_->Release(/*cancel=*/true);
}

absl::Status Agent::Run() {
  while (!Finished()) {
    DoWhatIsDue();
    WriteNext();
    if (Finished()) break;
    WaitForEvents();
  }
  if (stream_ != nullptr) Drop();
  // Streams delete themselves in this loop, which therefore ends after the last of them. Cancelled calls end at once.
  for (pollfd wait{inbox_->fd(), POLLIN, 0}; live_streams_ > 0 && poll(&wait, 1, 5'000) > 0;) {
    for (const std::function<void()>& event : inbox_->TakeAll()) event();
  }
  return result_;
}

void Agent::RequestStop() {
  inbox_->Post([this] { BeginStop(); });
}

void Agent::BeginStop() {
  if (stopping_) {  // asked again: at once
    if (trainer_ != nullptr) trainer_->Kill();
    farewell_until_ = options_.now();
    return;
  }
  stopping_ = true;
  spare_.End();
  options_.log(slot_.empty() ? "stopping" : absl::StrCat("stopping: ends ", slot_.key().ToString()));
  Do(slot_.StopFor("the worker is stopping", /*leaving=*/true, options_.now()));
}

bool Agent::Finished() const {
  if (!stopping_ || !slot_.empty()) return false;
  return reports_.empty() || session_.state() != Session::State::kRegistered ||
         (farewell_until_.has_value() && options_.now() >= *farewell_until_);
}

void Agent::DoWhatIsDue() {
  const Time now = options_.now();
  if (stopping_ && slot_.empty() && !farewell_until_.has_value()) farewell_until_ = now + options_.farewell;
  const Session::Step step = session_.Tick(now);
  if (step.drop) {
    options_.log("the coordinator is silent; dials again");
    Drop();
    session_.OnClosed(now);
    Ready();
  }
  if (step.open) Open();
  if (step.beat != 0) {
    SendBeat(step.beat);
  } else if (const auto due = hang_watch_.Due(TrainerPosition());
             due.has_value() && now >= *due && session_.state() == Session::State::kRegistered) {
    SendBeat(session_.NextBeat());
  }
  const std::optional<Time> lost = session_.lost_since();
  if (lost.has_value() && now >= *lost + session_.orphan_grace() && !slot_.empty() && !std::exchange(orphaned_, true)) {
    options_.log(
        absl::StrCat("no coordinator for ", session_.orphan_grace().count() / 1000, " s: ends ", slot_.key().ToString()));
    Do(slot_.StopFor("the coordinator could not be reached for too long", /*leaving=*/false, now));
  }
  Do(slot_.Tick(now));
  metrics_.Tick(now);
  spare_.Tick(now);
}

std::optional<channel::Position> Agent::TrainerPosition() const {
  return trainer_ != nullptr ? trainer_->position() : std::nullopt;
}

void Agent::SendBeat(uint64_t number) {
  v1::SessionRequest request;
  v1::Beat& beat = *request.mutable_beat();
  beat.set_number(number);
  const std::optional<channel::Position> position = TrainerPosition();
  if (position.has_value()) {
    v1::RankPosition& told = *beat.add_positions();
    told = ToProto(slot_.key(), *position, options_.now());
    told.set_process_stopped(trainer_->IsStopped());
  }
  const std::optional<Time> due = hang_watch_.Due(position);
  if (due.has_value() && options_.now() >= *due) hang_watch_.OnTold(position);
  Enqueue(std::move(request));
}

int Agent::PollTimeout() const {
  Time due = session_.NextDue();
  const auto sooner = [&due](std::optional<Time> time) { due = std::min(due, time.value_or(due)); };
  sooner(slot_.NextDue());
  sooner(metrics_.NextDue());
  sooner(spare_.NextDue());
  if (session_.state() == Session::State::kRegistered) sooner(hang_watch_.Due(TrainerPosition()));
  sooner(farewell_until_);
  if (session_.lost_since().has_value() && !slot_.empty() && !orphaned_) sooner(*session_.lost_since() + session_.orphan_grace());
  const milliseconds wait = std::chrono::ceil<milliseconds>(due - options_.now());
  return static_cast<int>(std::clamp<int64_t>(wait.count(), 0, 60'000));
}

void Agent::WaitForEvents() {
  std::vector<pollfd> fds{{inbox_->fd(), POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}, {-1, 0, 0}, {spare_.pidfd(), POLLIN, 0}};
  pollfd &inbox = fds[0], &stop = fds[1], &exited = fds[2], &channel = fds[3], &spare = fds[4];
  if (options_.stop_signal != nullptr) stop.fd = options_.stop_signal->fd();
  if (trainer_ != nullptr) {
    exited.fd = trainer_->pidfd();
    channel.fd = trainer_->channel_fd();
    channel.events = static_cast<short>((reports_.full() ? 0 : POLLIN) | (trainer_->wants_write() ? POLLOUT : 0));
    // poll() reports a hangup even if nothing is asked for; a full buffer must not make this loop spin.
    if (channel.events == 0) channel.fd = -1;
  }
  if (poll(fds.data(), fds.size(), PollTimeout()) <= 0) return;
  if (inbox.revents != 0) {
    for (const std::function<void()>& event : inbox_->TakeAll()) event();
  }
  if (spare.revents != 0 && spare_.pidfd() == spare.fd) spare_.OnExited(options_.now());
  if (stop.revents != 0 && options_.stop_signal->Take() != 0) BeginStop();
  // An inbox event may have ended the trainer that was polled; a new one's descriptors are looked at in the next turn.
  const bool same = trainer_ != nullptr && trainer_->pidfd() == exited.fd;
  if (same && channel.revents != 0) {
    trainer_->Flush();
    OnTrainerReadable(kReceiveAtOnce);
  }
  if (same && exited.revents != 0) OnTrainerExited();
}

}  // namespace pixelrec::agent
