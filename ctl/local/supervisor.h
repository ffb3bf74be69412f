// The process behind `pixelrecctl local up`: a coordinator and workers on loopback as its own children, each started again when
// it ends, on the ports it had, so that clients and workers find it again. Its children die with it, however it ends.
//
// Threads: one; it has no other, so that the children's parent-death signal means the process.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/process/child.h"
#include "common/process/signals.h"
#include "ctl/local/cluster_state.h"
#include "ctl/local/restart_backoff.h"

namespace pixelrec::ctl {

class Supervisor {
 public:
  struct Options {
    std::filesystem::path dir;         // state, logs, lock
    std::filesystem::path cache_dir;   // datasets/ is kept between clusters
    std::filesystem::path programs;    // folder of the daemons
    std::filesystem::path trainer;     // pixelrec-trainer
    std::filesystem::path trampoline;  // pixelrecctl itself: `local child`
    int workers = 2;
    int threads = 1;  // compute threads of each worker's trainer
    bool warm_spare = false;
    absl::Duration start_timeout = absl::Seconds(30);
    absl::Duration stop_grace = absl::Seconds(20);
  };

  explicit Supervisor(Options options);

  // Runs until SIGTERM or SIGINT, then stops the children and returns OK. ALREADY_EXISTS: the folder's lock is held. UNAVAILABLE:
  // a daemon could not be started the first time; the message ends with the last line of its log.
  absl::Status Run();

 private:
  struct Daemon {
    std::string name;
    std::filesystem::path program;
    std::unique_ptr<process::Child> child;
    RestartBackoff backoff;
    absl::Time started;
    absl::Time next_start = absl::InfiniteFuture();
    bool ready = false;       // this run of it
    bool ready_once = false;  // any run of it
    std::string grpc;         // learnt at the first start, kept after
    std::string metrics;
    int restarts = 0;
  };

  absl::Status StartFirst(Daemon& daemon);
  absl::Status Start(Daemon& daemon);
  absl::Status Tend(Daemon& daemon, absl::Time now);
  absl::Status OnExit(Daemon& daemon, const process::Exit& exit, absl::Time now);
  void ReadReadyFile(Daemon& daemon);
  // Waits for a signal, an exit or the next thing to do; true: asked to stop.
  bool WaitForWork();
  void StopAll();
  void StopSome(const std::vector<Daemon*>& daemons);
  void Record();
  std::vector<std::string> Arguments(const Daemon& daemon) const;
  std::filesystem::path ReadyFile(const Daemon& daemon) const;
  std::filesystem::path LogFile(const Daemon& daemon) const;

  const Options options_;
  storage::UniqueFd lock_;
  std::unique_ptr<process::StopSignal> stop_;
  std::vector<Daemon> daemons_;  // the coordinator first
  bool all_ready_once_ = false;
};

// The last line that is not empty of the end of `file`; empty if there is none.
std::string LastLine(const std::filesystem::path& file);

}  // namespace pixelrec::ctl
