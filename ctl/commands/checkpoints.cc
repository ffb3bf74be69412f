// pixelrecctl checkpoints: what a job has saved, and which of it training would go on from.
#include <memory>
#include <ostream>
#include <string>

#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/checkpoint_text.h"

namespace pixelrec::ctl {
namespace {

struct CheckpointsOptions {
  std::string job;
  int limit = 100;
  OutputFormat format = OutputFormat::kTable;
};

int Checkpoints(const Session& session, const CheckpointsOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<v1::ListCheckpointsResponse> found = (*client)->Checkpoints(options.job, options.limit);
  if (!found.ok()) return session.Fail(found.status());
  if (options.format != OutputFormat::kTable) {
    session.out << ToData(*found, options.format) << std::flush;
    return kExitOk;
  }
  session.out << CheckpointListText(*found, session.zone);
  if (!found->next_page_token().empty()) session.out << "(the newest " << found->checkpoints_size() << "; --limit shows more)\n";
  session.out << std::flush;
  return kExitOk;
}

}  // namespace

void AddCheckpoints(CLI::App& app, Session& session) {
  auto options = std::make_shared<CheckpointsOptions>();
  CLI::App* const command =
      app.add_subcommand("checkpoints", "List a job's checkpoints and best model, newest first, and say where it would resume");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  command->add_option("--limit", options->limit, "At most this many")->check(CLI::Range(1, 1000000));
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Checkpoints(session, *options); }; });
}

}  // namespace pixelrec::ctl
