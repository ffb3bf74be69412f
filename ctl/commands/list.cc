// pixelrecctl list: jobs, newest first.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ctl/client/job_state.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/job_text.h"

namespace pixelrec::ctl {
namespace {

struct ListOptions {
  std::vector<std::string> states;
  int limit = 100;
  OutputFormat format = OutputFormat::kTable;
};

int List(const Session& session, const ListOptions& options) {
  v1::ListJobsRequest request;
  for (const std::string& name : options.states) request.add_states(*ParseState(name));
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<v1::ListJobsResponse> jobs = (*client)->List(request, options.limit);
  if (!jobs.ok()) return session.Fail(jobs.status());
  if (options.format != OutputFormat::kTable) {
    session.out << ToData(*jobs, options.format) << std::flush;
    return kExitOk;
  }
  session.out << JobListText(*jobs, absl::Now());
  if (!jobs->next_page_token().empty()) session.out << "(the newest " << jobs->jobs_size() << "; --limit shows more)\n";
  session.out << std::flush;
  return kExitOk;
}

}  // namespace

void AddList(CLI::App& app, Session& session) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* const command = app.add_subcommand("list", "List jobs, newest first");
  command->add_option("--state", options->states, "Only jobs in this state; repeatable")
      ->check([](const std::string& name) { return ParseState(name) ? std::string() : absl::StrCat("no such state: ", name); })
      ->allow_extra_args(false);
  command->add_option("--limit", options->limit, "At most this many")->check(CLI::Range(1, 1000000));
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return List(session, *options); }; });
}

}  // namespace pixelrec::ctl
