// What every command of one pixelrecctl run shares: where to write, how to reach the coordinator, which command was chosen.
//
// Threads: one.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ctl/client/connection.h"
#include "ctl/client/job_client.h"
#include "ctl/render/data_output.h"

namespace CLI {
class App;
}

namespace pixelrec::ctl {

struct Session {
  std::ostream& out;
  std::ostream& err;
  // Columns of the terminal `out` is; 0: it isn't one.
  int columns = 0;
  absl::TimeZone zone;

  // Global options.
  Connection connection = {};  // what flags say of it; ResolveConnection() knows the rest
  double timeout_seconds = 10;

  // Set by the chosen subcommand; runs after parsing and returns the exit code.
  std::function<int()> chosen = {};

  absl::StatusOr<std::unique_ptr<JobClient>> Connect() const;

  // Prints "error: ..." with a hint where there is one; returns the exit code.
  int Fail(const absl::Status& status) const;
};

// Adds `-o table|json|yaml`.
void AddOutputOption(CLI::App& command, OutputFormat& format);

}  // namespace pixelrec::ctl
