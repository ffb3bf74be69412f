#include "ctl/session.h"

#include <map>
#include <ostream>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "common/rpc/reasons.h"
#include "ctl/exit_code.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {

absl::StatusOr<std::unique_ptr<JobClient>> Session::Connect() const {
  const absl::StatusOr<Connection> found = ResolveConnection(connection);
  if (!found.ok()) return found.status();
  JobClient::Options options;
  options.server = found->server;
  options.security = found->security;
  options.timeout = absl::Seconds(timeout_seconds);
  // Its supervisor restarts a coordinator that died.
  if (found->supervised) options.retry_for = absl::Seconds(5);
  return JobClient::Open(std::move(options));
}

int Session::Fail(const absl::Status& status) const {
  err << "error: " << OneLine(std::string(status.message()));
  if (absl::IsUnavailable(status)) err << "; `pixelrecctl local up` starts one on this machine, --server names another";
  if (absl::IsUnauthenticated(status) && !rpc::ReasonOf(status).empty())
    err << "; name a token with --token-file, or a certificate with --tls-cert and --tls-key";
  err << "\n" << std::flush;
  return ExitCodeOf(status);
}

void AddOutputOption(CLI::App& command, OutputFormat& format) {
  static const std::map<std::string, OutputFormat> kFormats = {
      {"table", OutputFormat::kTable}, {"json", OutputFormat::kJson}, {"yaml", OutputFormat::kYaml}};
  // The callback instead of CheckedTransformer: its error message is one line.
  command
      .add_option_function<std::string>(
          "-o,--output", [&format](const std::string& name) { format = kFormats.at(name); }, "table (default), json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}));
}

}  // namespace pixelrec::ctl
