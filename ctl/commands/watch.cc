// pixelrecctl watch: a running job's progress until it ends.
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
  auto interrupt = Interrupt::Install();
  if (!interrupt.ok()) return session.Fail(interrupt.status());
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  // A name means the newest job that has it now; the id goes on meaning that one.
  const absl::StatusOr<v1::Job> job = (*client)->Get(options.job);
  if (!job.ok()) return session.Fail(job.status());
  const FollowStyle style = options.format == OutputFormat::kTable ? FollowStyle::kShow : FollowStyle::kJsonLines;
  return FollowJob(session, **client, job->job_id(), style, options.after, **interrupt);
}

}  // namespace

void AddWatch(CLI::App& app, Session& session) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* const command = app.add_subcommand("watch", "Follow a job until it ends; Ctrl-C detaches");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  command->add_option("--after", options->after, "Only events behind this sequence number");
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Watch(session, *options); }; });
}

}  // namespace pixelrec::ctl
