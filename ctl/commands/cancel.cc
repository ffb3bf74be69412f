// pixelrecctl cancel: end a job, with a last checkpoint unless --now.
#include <memory>
#include <ostream>
#include <string>

#include "ctl/client/job_state.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"

namespace pixelrec::ctl {
namespace {

struct CancelOptions {
  std::string job;
  bool now = false;
  OutputFormat format = OutputFormat::kTable;
};

int Cancel(const Session& session, const CancelOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  v1::CancelJobRequest request;
  request.set_job(options.job);
  request.set_now(options.now);
  const absl::StatusOr<v1::Job> job = (*client)->Cancel(request);
  if (!job.ok()) return session.Fail(job.status());
  if (options.format != OutputFormat::kTable) {
    session.out << ToData(*job, options.format) << std::flush;
  } else if (job->state() == v1::JOB_STATE_CANCELLED) {
    session.out << "job " << job->job_id() << " is cancelled\n" << std::flush;
  } else {
    session.out << "job " << job->job_id() << " is being cancelled (" << StateName(job->state()) << ")\n" << std::flush;
  }
  return kExitOk;
}

}  // namespace

void AddCancel(CLI::App& app, Session& session) {
  auto options = std::make_shared<CancelOptions>();
  CLI::App* const command = app.add_subcommand("cancel", "End a job after a last checkpoint");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  command->add_flag("--now", options->now, "Without a last checkpoint");
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Cancel(session, *options); }; });
}

}  // namespace pixelrec::ctl
