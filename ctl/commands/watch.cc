// pixelrecctl watch: a running job's progress until it ends, on a terminal as a whole screen.
#include <memory>
#include <string>

#include "ctl/commands/commands.h"
#include "ctl/commands/follow.h"

namespace pixelrec::ctl {
namespace {

struct WatchOptions {
  std::string job;
  uint64_t after = 0;
  OutputFormat format = OutputFormat::kTable;
};

int Watch(const Session& session, const WatchOptions& options) {
  const bool table = options.format == OutputFormat::kTable;
  // Both before any thread, as they block signals. A terminal that can't be drawn on gets lines.
  auto terminal = table && session.columns > 0 ? Terminal::Install() : absl::FailedPreconditionError("not wanted");
  auto interrupt = Interrupt::Install();
  if (!interrupt.ok()) return session.Fail(interrupt.status());
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  // A name means the newest job that has it now; the id goes on meaning that one.
  const absl::StatusOr<v1::Job> job = (*client)->Get(options.job);
  if (!job.ok()) return session.Fail(job.status());
  if (terminal.ok()) return FollowOnScreen(session, **client, job->job_id(), options.after, **interrupt, *std::move(terminal));
  const FollowStyle style = table ? FollowStyle::kShow : FollowStyle::kJsonLines;
  return FollowJob(session, **client, job->job_id(), style, options.after, **interrupt);
}

}  // namespace

void AddWatch(CLI::App& app, Session& session) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* const command =
      app.add_subcommand("watch", "Follow a job until it ends, on a terminal as a live screen; q or Ctrl-C detaches");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  command->add_option("--after", options->after, "Only events behind this sequence number")->check(CLI::NonNegativeNumber);
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Watch(session, *options); }; });
}

}  // namespace pixelrec::ctl
