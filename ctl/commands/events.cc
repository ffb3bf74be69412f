// pixelrecctl events: a job's history.
#include <memory>
#include <ostream>
#include <string>

#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/event_text.h"

namespace pixelrec::ctl {
namespace {

struct EventsOptions {
  std::string job;
  uint64_t after = 0;
  OutputFormat format = OutputFormat::kTable;
};

int Events(const Session& session, const EventsOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<v1::ListJobEventsResponse> events = (*client)->Events(options.job, options.after);
  if (!events.ok()) return session.Fail(events.status());
  session.out << (options.format == OutputFormat::kTable ? EventListText(*events, session.zone) : ToData(*events, options.format))
              << std::flush;
  return kExitOk;
}

}  // namespace

void AddEvents(CLI::App& app, Session& session) {
  auto options = std::make_shared<EventsOptions>();
  CLI::App* const command = app.add_subcommand("events", "Show what happened to a job");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  command->add_option("--after", options->after, "Only events behind this sequence number")->check(CLI::NonNegativeNumber);
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Events(session, *options); }; });
}

}  // namespace pixelrec::ctl
