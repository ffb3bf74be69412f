// pixelrecctl workers list|drain|undrain: the workers the coordinator knows, and which of them get ranks.
#include <memory>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ctl/client/request_id.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/job_text.h"

namespace pixelrec::ctl {
namespace {

struct WorkerOptions {
  std::string worker;
  bool let_jobs_finish = false;
  OutputFormat format = OutputFormat::kTable;
};

int List(const Session& session, const WorkerOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<v1::ListWorkersResponse> workers = (*client)->Workers();
  if (!workers.ok()) return session.Fail(workers.status());
  session.out << (options.format == OutputFormat::kTable ? WorkerListText(*workers, absl::Now())
                                                         : ToData(*workers, options.format))
              << std::flush;
  return kExitOk;
}

int Show(const Session& session, const v1::Worker& worker, const std::string& text, OutputFormat format) {
  session.out << (format == OutputFormat::kTable ? absl::StrCat("worker ", worker.worker_id(), " ", text, "\n")
                                                 : ToData(worker, format))
              << std::flush;
  return kExitOk;
}

int Drain(const Session& session, const WorkerOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  v1::DrainWorkerRequest request;
  request.set_worker_id(options.worker);
  request.set_mode(options.let_jobs_finish ? v1::DRAIN_MODE_LET_JOBS_FINISH : v1::DRAIN_MODE_MOVE_JOBS);
  request.set_request_id(RandomRequestId());
  const absl::StatusOr<v1::Worker> worker = (*client)->Drain(request);
  if (!worker.ok()) return session.Fail(worker.status());
  const bool busy = worker->state() == v1::WORKER_STATE_DRAINING;
  const std::string text =
      busy ? absl::StrCat("is being drained: it still runs rank ", worker->rank(), " of job ", worker->job_id(),
                          options.let_jobs_finish ? ", to its end" : ", which stops with a checkpoint and goes on elsewhere")
           : std::string("is drained: nothing runs there");
  return Show(session, *worker, text, options.format);
}

int Undrain(const Session& session, const WorkerOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  v1::UndrainWorkerRequest request;
  request.set_worker_id(options.worker);
  request.set_request_id(RandomRequestId());
  const absl::StatusOr<v1::Worker> worker = (*client)->Undrain(request);
  if (!worker.ok()) return session.Fail(worker.status());
  return Show(session, *worker,
              worker->state() == v1::WORKER_STATE_LOST ? "gets ranks again once it is back" : "gets ranks again", options.format);
}

}  // namespace

void AddWorkers(CLI::App& app, Session& session) {
  auto options = std::make_shared<WorkerOptions>();
  CLI::App* const group = app.add_subcommand("workers", "Look at workers, drain them");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, int (*run)(const Session&, const WorkerOptions&)) {
    CLI::App* const command = group->add_subcommand(name, help);
    AddOutputOption(*command, options->format);
    command->callback([&session, options, run] { session.chosen = [&session, options, run] { return run(session, *options); }; });
    return command;
  };
  add("list", "List workers", List);
  CLI::App* const drain = add("drain", "Give a worker no rank any more, for example before its machine goes down", Drain);
  drain->add_option("worker", options->worker, "As `workers list` names it")->required();
  drain->add_flag("--let-jobs-finish", options->let_jobs_finish,
                  "Jobs that run there go on to their end, instead of moving elsewhere through a checkpoint");
  add("undrain", "Give a drained worker ranks again", Undrain)
      ->add_option("worker", options->worker, "As `workers list` names it")
      ->required();
}

}  // namespace pixelrec::ctl
