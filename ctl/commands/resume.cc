// pixelrecctl resume: put a paused job back into the queue.
#include <memory>
#include <ostream>
#include <string>

#include "ctl/client/job_state.h"
#include "ctl/client/request_id.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

struct ResumeOptions {
  std::string job;
  OutputFormat format = OutputFormat::kTable;
};

int Resume(const Session& session, const ResumeOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  v1::ResumeJobRequest request;
  request.set_job(options.job);
  request.set_request_id(RandomRequestId());
  const absl::StatusOr<v1::Job> job = (*client)->Resume(request);
  if (!job.ok()) return session.Fail(job.status());
  if (options.format != OutputFormat::kTable) {
    session.out << ToData(*job, options.format) << std::flush;
  } else {
    session.out << "job " << job->job_id() << " is resumed (" << StateName(job->state()) << ": " << OneLine(job->reason())
                << ")\n"
                << std::flush;
  }
  return kExitOk;
}

}  // namespace

void AddResume(CLI::App& app, Session& session) {
  auto options = std::make_shared<ResumeOptions>();
  CLI::App* const command = app.add_subcommand("resume", "Put a paused job back into the queue");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Resume(session, *options); }; });
}

}  // namespace pixelrec::ctl
