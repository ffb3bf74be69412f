// pixelrecctl pause: take a job off its workers, with a checkpoint unless --now, until it is resumed.
#include <memory>
#include <ostream>
#include <string>

#include "ctl/client/job_state.h"
#include "ctl/client/request_id.h"
#include "ctl/commands/commands.h"
#include "ctl/commands/follow.h"
#include "ctl/exit_code.h"

namespace pixelrec::ctl {
namespace {

struct PauseOptions {
  std::string job;
  bool now = false;
  OutputFormat format = OutputFormat::kTable;
};

int Pause(const Session& session, const PauseOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  v1::PauseJobRequest request;
  request.set_job(options.job);
  request.set_now(options.now);
  request.set_request_id(RandomRequestId());
  const absl::StatusOr<v1::Job> job = (*client)->Pause(request);
  if (!job.ok()) return session.Fail(job.status());
  if (options.format != OutputFormat::kTable) {
    session.out << ToData(*job, options.format) << std::flush;
    return kExitOk;
  }
  const bool paused = job->state() == v1::JOB_STATE_PAUSED;
  session.out << "job " << job->job_id() << (paused ? " is paused" : " is being paused (" + StateName(job->state()) + ")")
              << "\n  go on: pixelrecctl" << ServerFlag(session) << " resume " << job->job_id() << "\n"
              << std::flush;
  return kExitOk;
}

}  // namespace

void AddPause(CLI::App& app, Session& session) {
  auto options = std::make_shared<PauseOptions>();
  CLI::App* const command = app.add_subcommand("pause", "Take a job off its workers after a checkpoint, until it is resumed");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  command->add_flag("--now", options->now, "Without a checkpoint: steps since the last one are done again");
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Pause(session, *options); }; });
}

}  // namespace pixelrec::ctl
