// pixelrecctl logs: what a rank wrote to stdout and stderr.
#include <memory>
#include <ostream>
#include <string>

#include "ctl/client/interrupt.h"
#include "ctl/client/log_reader.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"

namespace pixelrec::ctl {
namespace {

int Logs(const Session& session, const LogRequest& request) {
  auto interrupt = Interrupt::Install();
  if (!interrupt.ok()) return session.Fail(interrupt.status());
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const auto write = [&session](absl::string_view data) {
    session.out.write(data.data(), static_cast<std::streamsize>(data.size()));
    session.out.flush();
  };
  const absl::Status status = ReadLog(**client, request, write, (*interrupt)->token());
  return status.ok() ? kExitOk : session.Fail(status);
}

}  // namespace

void AddLogs(CLI::App& app, Session& session) {
  auto request = std::make_shared<LogRequest>();
  CLI::App* const command = app.add_subcommand("logs", "Print the log of a job's rank");
  command->add_option("job", request->job, "Job id, the beginning of one, or a job's name")->required();
  command->add_option("-r,--rank", request->rank, "Rank; default 0")->check(CLI::NonNegativeNumber);
  command->add_option("-g,--generation", request->generation, "Generation; default the newest");
  command->add_option("--tail", request->tail_bytes, "Only this many bytes from the end")->check(CLI::PositiveNumber);
  command->add_flag("-f,--follow", request->follow, "Go on until the job ends; Ctrl-C stops");
  command->callback([&session, request] { session.chosen = [&session, request] { return Logs(session, *request); }; });
}

}  // namespace pixelrec::ctl
