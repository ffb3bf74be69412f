// pixelrecctl explain: a job's story, from its history alone.
#include <memory>
#include <ostream>
#include <string>

#include "absl/time/clock.h"
#include "ctl/client/job_story.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/story_text.h"

namespace pixelrec::ctl {
namespace {

struct ExplainOptions {
  std::string job;
  OutputFormat format = OutputFormat::kTable;
};

int Explain(const Session& session, const ExplainOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<v1::Job> job = (*client)->Get(options.job);
  if (!job.ok()) return session.Fail(job.status());
  const absl::StatusOr<v1::ListJobEventsResponse> history = (*client)->Events(job->job_id(), 0);
  if (!history.ok()) return session.Fail(history.status());
  const JobStory story = StoryOf(*job, *history, absl::Now());
  session.out << (options.format == OutputFormat::kTable ? StoryText(*job, story, session.zone)
                                                         : StoryData(*job, story, options.format))
              << std::flush;
  return kExitOk;
}

}  // namespace

void AddExplain(CLI::App& app, Session& session) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* const command =
      app.add_subcommand("explain", "Tell what happened to a job, who failed first, and where its time went");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Explain(session, *options); }; });
}

}  // namespace pixelrec::ctl
