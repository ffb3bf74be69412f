// Starting a process that outlives this one, and stopping one by its lock.
//
// Threads: any.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace pixelrec::ctl {

// A session of its own, no terminal, stdin closed, stdout and stderr into `log` (emptied first). It stays this process's child
// until that ends. NOT_FOUND and the like: as errno says.
absl::StatusOr<pid_t> SpawnDetached(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                                    const std::filesystem::path& log);

// SIGTERM to the supervisor of `dir`, SIGKILL if it still lives after `grace`; returns when it is gone. NOT_FOUND: none runs.
absl::Status StopSupervisor(const std::filesystem::path& dir, absl::Duration grace);

// This program's own file.
std::filesystem::path OwnProgram();
// PIXELREC_TRAINER, else pixelrec-trainer beside this program.
std::filesystem::path TrainerProgram();

}  // namespace pixelrec::ctl
