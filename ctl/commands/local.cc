// pixelrecctl local: a coordinator and workers on this machine, for a laptop, a test or a first look.
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/storage/atomic_file.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/local/cluster_state.h"
#include "ctl/local/detached.h"
#include "ctl/local/supervisor.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

namespace fs = std::filesystem;

struct LocalOptions {
  std::string dir;
  int workers = 2;
  bool warm_spare = false;
  OutputFormat format = OutputFormat::kTable;

  fs::path Dir() const { return dir.empty() ? DefaultClusterDir() : fs::absolute(dir).lexically_normal(); }
};

void Print(const Session& session, const LocalOptions& options, const ClusterState& state) {
  if (options.format == OutputFormat::kJson) {
    session.out << ClusterJson(state) << std::flush;
    return;
  }
  Table table({{"PROCESS"}, {"PID", Table::Align::kRight}, {"ADDRESS"}, {"METRICS"}, {"RESTARTS", Table::Align::kRight}});
  const auto row = [&](const ClusterProcess& process, const std::string& address) {
    table.Add({process.name, process.pid == 0 ? "restarting" : absl::StrCat(process.pid), address,
               absl::StrCat("http://", process.metrics, "/metrics"), absl::StrCat(process.restarts)});
  };
  row(state.coordinator, state.server);
  for (const ClusterProcess& worker : state.workers) row(worker, "-");
  session.out << table.Text() << "state and logs in " << options.Dir().string() << "; stop with `pixelrecctl local down`\n";
  if (options.Dir() != DefaultClusterDir()) {
    session.out << "for other commands: export PIXELREC_LOCAL_DIR=" << options.Dir().string() << "\n";
  } else if (const auto other = ResolveConnection(session.connection); other.ok() && other->server != state.server) {
    session.out << "other commands go to " << other->server << "; for this cluster: export PIXELREC_SERVER=" << state.server
                << "\n";
  }
  session.out << std::flush;
}

// Exit code and words of a supervisor that ended instead of starting.
int FailToStart(const Session& session, const fs::path& log, int wait_status) {
  const std::string last = LastLine(log);
  session.err << (absl::StartsWith(last, "error: ")
                      ? last
                      : absl::StrCat("error: the supervisor ended at its start; its log: ", log.string()))
              << "\n"
              << std::flush;
  return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) != 0 ? WEXITSTATUS(wait_status) : static_cast<int>(kExitJobFailed);
}

absl::Status MakeFolders(const fs::path& dir) {
  std::error_code error;
  for (const fs::path& folder : {dir, dir / "logs", dir / "coordinator", DefaultCacheDir() / "datasets"}) {
    fs::create_directories(folder, error);
    if (error) return storage::ErrnoStatus(error.value(), "can't make", folder);
  }
  return absl::OkStatus();
}

int Up(const Session& session, const LocalOptions& options) {
  const fs::path dir = options.Dir();
  if (const auto running = RunningCluster(dir); running.ok()) {
    if (static_cast<int>(running->workers.size()) != options.workers || running->warm_spare != options.warm_spare) {
      return session.Fail(absl::FailedPreconditionError(
          absl::StrCat("a local cluster with ", running->workers.size(), " workers ", running->warm_spare ? "with" : "without",
                       " warm spares is running in ", dir.string(), "; `pixelrecctl local down` stops it")));
    }
    Print(session, options, *running);
    return kExitOk;
  }
  if (absl::Status status = MakeFolders(dir); !status.ok()) return session.Fail(status);
  const fs::path log = dir / "logs" / "supervisor.log";
  std::vector<std::string> arguments = {"local", "supervise", "--dir", dir.string(), "--workers", absl::StrCat(options.workers)};
  if (options.warm_spare) arguments.emplace_back("--warm-spare");
  const auto supervisor = SpawnDetached(OwnProgram(), arguments, log);
  if (!supervisor.ok()) return session.Fail(supervisor.status());
  // The supervisor gives up by itself when its daemons don't start.
  while (true) {
    int wait_status = 0;
    if (waitpid(*supervisor, &wait_status, WNOHANG) == *supervisor) return FailToStart(session, log, wait_status);
    const auto running = RunningCluster(dir);
    if (running.ok() && running->ready) {
      Print(session, options, *running);
      return kExitOk;
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
}

int Down(const Session& session, const LocalOptions& options) {
  const absl::Status status = StopSupervisor(options.Dir(), absl::Seconds(50));
  if (absl::IsNotFound(status)) {
    session.out << status.message() << "\n" << std::flush;
    return kExitOk;
  }
  if (!status.ok()) return session.Fail(status);
  session.out << "stopped the local cluster in " << options.Dir().string() << "\n" << std::flush;
  return kExitOk;
}

int Status(const Session& session, const LocalOptions& options) {
  const auto running = RunningCluster(options.Dir());
  if (!running.ok()) {
    session.err << "error: " << running.status().message()
                << (absl::IsNotFound(running.status()) ? "; `pixelrecctl local up` starts one" : "") << "\n"
                << std::flush;
    return kExitUnavailable;
  }
  Print(session, options, *running);
  return kExitOk;
}

int Supervise(const LocalOptions& options) {
  Supervisor::Options supervisor;
  supervisor.dir = options.Dir();
  supervisor.cache_dir = DefaultCacheDir();
  supervisor.trampoline = OwnProgram();
  supervisor.programs = supervisor.trampoline.parent_path();
  supervisor.trainer = TrainerProgram();
  supervisor.workers = options.workers;
  supervisor.warm_spare = options.warm_spare;
  supervisor.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / options.workers);
  const absl::Status status = Supervisor(supervisor).Run();
  if (status.ok()) return kExitOk;
  std::cout << "error: " << OneLine(std::string(status.message())) << "\n" << std::flush;
  return ExitCodeOf(status);
}

void AddDirOption(CLI::App& command, LocalOptions& options) {
  command.add_option("--dir", options.dir,
                     "Folder of the cluster. Default: PIXELREC_LOCAL_DIR, else ~/.local/state/pixelrec/local");
}

void AddWarmSpareOption(CLI::App& command, LocalOptions& options) {
  command.add_flag("--warm-spare", options.warm_spare, "Workers keep a trainer ready for the next rank");
}

}  // namespace

void AddLocal(CLI::App& app, Session& session) {
  auto options = std::make_shared<LocalOptions>();
  CLI::App* const group = app.add_subcommand("local", "A coordinator and workers on this machine");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, int (*run)(const Session&, const LocalOptions&)) {
    CLI::App* const command = group->add_subcommand(name, what);
    AddDirOption(*command, *options);
    command->callback([&session, options, run] { session.chosen = [&session, options, run] { return run(session, *options); }; });
    return command;
  };
  CLI::App* const up = add("up", "Start them; returns when all are ready", Up);
  up->add_option("--workers", options->workers, "How many; default 2")->check(CLI::Range(1, 64));
  AddWarmSpareOption(*up, *options);
  AddOutputOption(*up, options->format);
  add("down", "Stop them", Down);
  AddOutputOption(*add("status", "Show them", Status), options->format);

  // An empty group name hides a command from --help.
  CLI::App* const supervise = group->add_subcommand("supervise", "What `local up` runs")->group("");
  AddDirOption(*supervise, *options);
  supervise->add_option("--workers", options->workers, "How many")->check(CLI::Range(1, 64));
  AddWarmSpareOption(*supervise, *options);
  supervise->callback([&session, options] { session.chosen = [options] { return Supervise(*options); }; });
}

}  // namespace pixelrec::ctl
