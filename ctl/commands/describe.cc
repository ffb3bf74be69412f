// pixelrecctl describe: everything the coordinator knows of one job.
#include <memory>
#include <ostream>
#include <string>

#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/job_text.h"

namespace pixelrec::ctl {
namespace {

struct DescribeOptions {
  std::string job;
  OutputFormat format = OutputFormat::kTable;
};

int Describe(const Session& session, const DescribeOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<v1::Job> job = (*client)->Get(options.job);
  if (!job.ok()) return session.Fail(job.status());
  session.out << (options.format == OutputFormat::kTable ? JobDescription(*job, session.zone) : ToData(*job, options.format))
              << std::flush;
  return kExitOk;
}

}  // namespace

void AddDescribe(CLI::App& app, Session& session) {
  auto options = std::make_shared<DescribeOptions>();
  CLI::App* const command = app.add_subcommand("describe", "Show one job");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Describe(session, *options); }; });
}

}  // namespace pixelrec::ctl
