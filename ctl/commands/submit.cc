// pixelrecctl submit: check a job.yaml, hand it to the coordinator, and follow it if asked to.
#include <unistd.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ctl/client/connection.h"
#include "ctl/client/job_file.h"
#include "ctl/client/request_id.h"
#include "ctl/commands/commands.h"
#include "ctl/commands/follow.h"
#include "ctl/commands/plan.h"
#include "ctl/exit_code.h"

namespace pixelrec::ctl {
namespace {

struct SubmitOptions {
  std::string file;
  std::vector<std::string> overrides;
  bool follow = false;
  bool wait = false;
  bool plan = false;
  std::string request_id;
  OutputFormat format = OutputFormat::kTable;
};

int Submit(const Session& session, const SubmitOptions& options) {
  const absl::StatusOr<config::JobDocument> document = ReadJobFile(options.file, options.overrides);
  if (!document.ok()) return session.Fail(document.status());
  for (const std::string& notice : document->notices) session.err << "note: " << notice << "\n";
  if (options.plan) return ShowPlan(session, *document, options.format);
  // Before gRPC starts threads, which must leave Ctrl-C alone.
  std::unique_ptr<Interrupt> interrupt;
  if (options.follow || options.wait) {
    auto installed = Interrupt::Install();
    if (!installed.ok()) return session.Fail(installed.status());
    interrupt = *std::move(installed);
  }
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  if (SharesOurFiles((*client)->server())) {
    if (absl::Status status = CheckJobPaths(*document); !status.ok()) return session.Fail(status);
  }
  v1::SubmitJobRequest request;
  *request.mutable_spec() = document->spec;
  request.set_request_id(options.request_id.empty() ? RandomRequestId() : options.request_id);
  const absl::StatusOr<v1::Job> job = (*client)->Submit(request);
  if (!job.ok()) return session.Fail(PlaceRefusal(*document, job.status()));

  const bool data = options.format != OutputFormat::kTable;
  if (options.follow) {
    if (!data) session.out << "job " << job->job_id() << " submitted\n" << std::flush;
    return FollowJob(session, **client, job->job_id(), data ? FollowStyle::kJsonLines : FollowStyle::kShow, 0, *interrupt);
  }
  if (options.wait) {
    if (!data) return FollowJob(session, **client, job->job_id(), FollowStyle::kQuiet, 0, *interrupt);
    std::ostream nowhere(nullptr);
    Session quiet{.out = nowhere, .err = session.err, .zone = session.zone, .connection = session.connection};
    const int code = FollowJob(quiet, **client, job->job_id(), FollowStyle::kQuiet, 0, *interrupt);
    if (const auto ended = (*client)->Get(job->job_id()); ended.ok()) session.out << ToData(*ended, options.format) << std::flush;
    return code;
  }
  if (data) {
    session.out << ToData(*job, options.format) << std::flush;
  } else {
    session.out << "job " << job->job_id() << " submitted\n  follow: pixelrecctl" << ServerFlag(session) << " watch "
                << job->job_id() << "\n"
                << std::flush;
  }
  return kExitOk;
}

}  // namespace

void AddSubmit(CLI::App& app, Session& session) {
  auto options = std::make_shared<SubmitOptions>();
  CLI::App* const command = app.add_subcommand("submit", "Submit a job");
  command->add_option("file,-f,--file", options->file, "job.yaml; - reads standard input")->required();
  command->add_option("--set", options->overrides, "Override KEY=VALUE, for example --set train.learning_rate=1e-3; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  CLI::Option* const follow = command->add_flag("--follow", options->follow, "Show progress until the job ends");
  command->add_flag("--wait", options->wait, "Return when the job has ended")->excludes(follow);
  command->add_option("--request-id", options->request_id, "A repeat with the same id returns the first job");
  command
      ->add_flag("--plan", options->plan, "Submit nothing: print steps, parameters and bytes per rank, and refuse what can't fit")
      ->excludes("--follow")
      ->excludes("--wait")
      ->excludes("--request-id");
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Submit(session, *options); }; });
}

}  // namespace pixelrec::ctl
