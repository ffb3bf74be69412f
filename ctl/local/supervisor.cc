#include "ctl/local/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/storage/atomic_file.h"
#include "nlohmann/json.hpp"

namespace pixelrec::ctl {
namespace {

namespace fs = std::filesystem;

// How often a ready file is looked for while a daemon starts.
constexpr absl::Duration kReadyPoll = absl::Milliseconds(20);

// What the daemons and their trainers may know of this user's environment.
std::vector<std::string> DaemonEnvironment() {
  return process::AllowedEnvironment({"PATH", "HOME", "USER", "LANG", "LC_*", "TZ", "TMPDIR", "XDG_*", "PIXELREC_*", "OMP_*",
                                      "MKL_*", "KMP_*", "GOMP_*", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
                                      "LSAN_OPTIONS"});
}

std::string ExitText(const process::Exit& exit) {
  return exit.signal != 0 ? absl::StrCat("was killed by signal ", exit.signal) : absl::StrCat("ended with exit code ", exit.code);
}

// One line in the supervisor's own log.
void Log(const std::string& text) {
  std::cout << absl::FormatTime("%Y-%m-%d %H:%M:%E3S ", absl::Now(), absl::LocalTimeZone()) << text << "\n" << std::flush;
}

}  // namespace

std::string LastLine(const fs::path& file) {
  constexpr std::streamoff kTail = 4096;
  std::ifstream in(file, std::ios::binary);
  in.seekg(0, std::ios::end);
  in.seekg(std::max<std::streamoff>(0, in.tellg() - kTail));
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (!absl::StripAsciiWhitespace(line).empty()) last = line;
  }
  return last;
}

Supervisor::Supervisor(Options options) : options_(std::move(options)) {
  daemons_.resize(1 + static_cast<size_t>(options_.workers));
  daemons_[0].name = "coordinator";
  daemons_[0].program = options_.programs / "pixelrec-coordinator";
  for (int i = 0; i < options_.workers; ++i) {
    daemons_[1 + static_cast<size_t>(i)].name = absl::StrCat("local-", i);
    daemons_[1 + static_cast<size_t>(i)].program = options_.programs / "pixelrec-worker";
  }
}

fs::path Supervisor::ReadyFile(const Daemon& daemon) const { return options_.dir / absl::StrCat(daemon.name, ".ready.json"); }
fs::path Supervisor::LogFile(const Daemon& daemon) const { return options_.dir / "logs" / absl::StrCat(daemon.name, ".log"); }

std::vector<std::string> Supervisor::Arguments(const Daemon& daemon) const {
  const auto or_any_port = [](const std::string& address) { return address.empty() ? "127.0.0.1:0" : address; };
  std::vector<std::string> arguments = {"local", "child", absl::StrCat(getpid()), daemon.program.string()};
  const auto add = [&](const char* flag, const std::string& value) {
    arguments.emplace_back(flag);
    arguments.push_back(value);
  };
  add("--ready-file", ReadyFile(daemon).string());
  add("--metrics-listen", or_any_port(daemon.metrics));
  if (&daemon == &daemons_[0]) {
    add("--listen", or_any_port(daemon.grpc));
    add("--state-dir", (options_.dir / "coordinator").string());
  } else {
    add("--coordinator", daemons_[0].grpc);
    add("--worker-id", daemon.name);
    add("--work-dir", (options_.dir / daemon.name).string());
    add("--dataset-cache-dir", (options_.cache_dir / "datasets").string());
    add("--trainer", options_.trainer.string());
    add("--threads", absl::StrCat(options_.threads));
    if (options_.warm_spare) arguments.emplace_back("--warm-spare");
  }
  return arguments;
}

absl::Status Supervisor::Start(Daemon& daemon) {
  std::error_code ignored;
  fs::remove(ReadyFile(daemon), ignored);
  process::SpawnOptions spawn;
  spawn.program = options_.trampoline;
  spawn.arguments = Arguments(daemon);
  spawn.environment = DaemonEnvironment();
  spawn.output = LogFile(daemon);
  auto child = process::Child::Spawn(spawn);
  if (!child.ok()) return child.status();
  daemon.child = *std::move(child);
  daemon.started = absl::Now();
  daemon.next_start = absl::InfiniteFuture();
  daemon.ready = false;
  Log(absl::StrCat(daemon.name, " started, pid ", daemon.child->pid()));
  return absl::OkStatus();
}

void Supervisor::ReadReadyFile(Daemon& daemon) {
  const absl::StatusOr<std::string> text = storage::ReadFile(ReadyFile(daemon));
  if (!text.ok()) return;
  const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("pid") || json["pid"] != daemon.child->pid()) return;
  if (json.contains("grpc") && json["grpc"].is_string()) daemon.grpc = json["grpc"];
  if (json.contains("metrics") && json["metrics"].is_string()) daemon.metrics = json["metrics"];
  daemon.ready = daemon.ready_once = true;
  Log(absl::StrCat(daemon.name, " is ready", daemon.grpc.empty() ? "" : absl::StrCat(" at ", daemon.grpc), ", metrics at ",
                   daemon.metrics));
  Record();
}

absl::Status Supervisor::OnExit(Daemon& daemon, const process::Exit& exit, absl::Time now) {
  daemon.child.reset();
  if (!daemon.ready_once) {
    const std::string last = LastLine(LogFile(daemon));
    return absl::UnavailableError(
        absl::StrCat(daemon.name, " ", ExitText(exit), " at its start", last.empty() ? "" : ": ", last));
  }
  daemon.ready = false;
  ++daemon.restarts;
  const absl::Duration wait = daemon.backoff.AfterExit(daemon.started, now);
  daemon.next_start = now + wait;
  Log(absl::StrCat(daemon.name, " ", ExitText(exit), "; starting it again in ", absl::FormatDuration(wait)));
  Record();
  return absl::OkStatus();
}

absl::Status Supervisor::Tend(Daemon& daemon, absl::Time now) {
  if (daemon.child != nullptr) {
    if (const auto exit = daemon.child->Reap()) return OnExit(daemon, *exit, now);
    if (!daemon.ready) ReadReadyFile(daemon);
    if (!daemon.ready_once && now - daemon.started > options_.start_timeout) {
      return absl::UnavailableError(absl::StrCat(daemon.name, " is not ready after ",
                                                 absl::FormatDuration(options_.start_timeout),
                                                 "; its log: ", LogFile(daemon).string()));
    }
  } else if (now >= daemon.next_start) {
    if (absl::Status status = Start(daemon); !status.ok()) {
      // The program may be on its way (an installation, a rebuild): try again.
      Log(std::string(status.message()));
      daemon.next_start = now + daemon.backoff.AfterExit(now, now);
    }
  }
  return absl::OkStatus();
}

bool Supervisor::WaitForWork() {
  std::vector<pollfd> fds = {{stop_->fd(), POLLIN, 0}};
  absl::Duration wait = absl::Minutes(1);
  for (const Daemon& daemon : daemons_) {
    if (daemon.child != nullptr) fds.push_back({daemon.child->pidfd(), POLLIN, 0});
    if (daemon.child != nullptr && !daemon.ready) wait = std::min(wait, kReadyPoll);
    wait = std::min(wait, daemon.next_start - absl::Now());
  }
  const int64_t milliseconds = std::max<int64_t>(0, absl::ToInt64Milliseconds(wait + absl::Milliseconds(1)));
  poll(fds.data(), fds.size(), static_cast<int>(std::min<int64_t>(milliseconds, 60000)));
  return stop_->Take() != 0;
}

absl::Status Supervisor::StartFirst(Daemon& daemon) {
  if (absl::Status status = Start(daemon); !status.ok()) return status;
  while (!daemon.ready) {
    if (WaitForWork()) return absl::CancelledError("stopped while starting");
    for (Daemon& each : daemons_) {
      if (absl::Status status = Tend(each, absl::Now()); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

void Supervisor::Record() {
  ClusterState state;
  state.server = daemons_[0].grpc;
  state.supervisor = getpid();
  state.ready = all_ready_once_;
  state.warm_spare = options_.warm_spare;
  const auto process = [](const Daemon& daemon) {
    return ClusterProcess{daemon.name, daemon.child == nullptr ? 0 : daemon.child->pid(), daemon.metrics, daemon.restarts};
  };
  state.coordinator = process(daemons_[0]);
  for (size_t i = 1; i < daemons_.size(); ++i) state.workers.push_back(process(daemons_[i]));
  if (absl::Status status = WriteClusterState(options_.dir, state); !status.ok()) Log(std::string(status.message()));
}

void Supervisor::StopSome(const std::vector<Daemon*>& daemons) {
  for (Daemon* daemon : daemons) {
    if (daemon->child != nullptr) daemon->child->Signal(SIGTERM);
  }
  const absl::Time deadline = absl::Now() + options_.stop_grace;
  for (Daemon* daemon : daemons) {
    if (daemon->child == nullptr) continue;
    while (!daemon->child->Reap() && absl::Now() < deadline) {
      pollfd fd = {daemon->child->pidfd(), POLLIN, 0};
      poll(&fd, 1, static_cast<int>(absl::ToInt64Milliseconds(deadline - absl::Now())) + 1);
    }
    if (!daemon->child->Reap()) Log(absl::StrCat(daemon->name, " did not stop in time; killing it"));
    daemon->child.reset();  // kills what still runs
  }
}

void Supervisor::StopAll() {
  // Workers first: their trainers end, and the coordinator still hears how.
  std::vector<Daemon*> workers;
  for (size_t i = 1; i < daemons_.size(); ++i) workers.push_back(&daemons_[i]);
  StopSome(workers);
  StopSome({&daemons_[0]});
  std::error_code ignored;
  fs::remove(options_.dir / "local.json", ignored);
  Log("stopped");
}

absl::Status Supervisor::Run() {
  auto lock = LockCluster(options_.dir);
  if (!lock.ok()) return lock.status();
  lock_ = *std::move(lock);
  auto stop = process::StopSignal::Install();
  if (!stop.ok()) return stop.status();
  stop_ = std::make_unique<process::StopSignal>(*std::move(stop));
  absl::Status status = StartFirst(daemons_[0]);
  for (size_t i = 1; i < daemons_.size() && status.ok(); ++i) status = Start(daemons_[i]);
  bool stopping = false;
  while (status.ok() && !stopping) {
    for (Daemon& daemon : daemons_) {
      if (status.ok()) status = Tend(daemon, absl::Now());
    }
    if (!all_ready_once_ && std::all_of(daemons_.begin(), daemons_.end(), [](const Daemon& d) { return d.ready_once; })) {
      all_ready_once_ = true;
      Record();
    }
    if (status.ok()) stopping = WaitForWork();
  }
  StopAll();
  return absl::IsCancelled(status) ? absl::OkStatus() : status;
}

}  // namespace pixelrec::ctl
