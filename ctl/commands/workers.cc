// pixelrecctl workers list: the workers the coordinator knows.
#include <memory>
#include <ostream>

#include "absl/time/clock.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/job_text.h"

namespace pixelrec::ctl {
namespace {

int ListWorkers(const Session& session, OutputFormat format) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<v1::ListWorkersResponse> workers = (*client)->Workers();
  if (!workers.ok()) return session.Fail(workers.status());
  session.out << (format == OutputFormat::kTable ? WorkerListText(*workers, absl::Now()) : ToData(*workers, format))
              << std::flush;
  return kExitOk;
}

}  // namespace

void AddWorkers(CLI::App& app, Session& session) {
  auto format = std::make_shared<OutputFormat>(OutputFormat::kTable);
  CLI::App* const group = app.add_subcommand("workers", "Look at workers");
  group->require_subcommand(1);
  CLI::App* const command = group->add_subcommand("list", "List workers");
  AddOutputOption(*command, *format);
  command->callback([&session, format] { session.chosen = [&session, format] { return ListWorkers(session, *format); }; });
}

}  // namespace pixelrec::ctl
