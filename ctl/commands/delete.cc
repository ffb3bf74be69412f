// pixelrecctl delete: forget a job that has ended; its files stay.
#include <memory>
#include <ostream>
#include <string>

#include "ctl/client/request_id.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"

namespace pixelrec::ctl {
namespace {

struct DeleteOptions {
  std::string job;
  OutputFormat format = OutputFormat::kTable;
};

int Delete(const Session& session, const DeleteOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  v1::DeleteJobRequest request;
  request.set_job(options.job);
  request.set_request_id(RandomRequestId());
  const absl::StatusOr<v1::DeleteJobResponse> deleted = (*client)->Delete(request);
  if (!deleted.ok()) return session.Fail(deleted.status());
  if (options.format != OutputFormat::kTable) {
    session.out << ToData(*deleted, options.format) << std::flush;
  } else {
    session.out << "job " << deleted->job_id() << " is deleted; its files stay in " << deleted->output_dir() << "\n"
                << std::flush;
  }
  return kExitOk;
}

}  // namespace

void AddDelete(CLI::App& app, Session& session) {
  auto options = std::make_shared<DeleteOptions>();
  CLI::App* const command = app.add_subcommand("delete", "Forget a job that has ended, and its events; its files stay");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Delete(session, *options); }; });
}

}  // namespace pixelrec::ctl
