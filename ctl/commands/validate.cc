// pixelrecctl validate: everything that can be said of a job.yaml without a coordinator.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/config/job_spec.h"
#include "ctl/client/job_file.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"

namespace pixelrec::ctl {
namespace {

struct ValidateOptions {
  std::string file;
  std::vector<std::string> overrides;
  bool skip_files = false;
  OutputFormat format = OutputFormat::kTable;
};

int Validate(const Session& session, const ValidateOptions& options) {
  const absl::StatusOr<config::JobDocument> document = ReadJobFile(options.file, options.overrides);
  if (!document.ok()) return session.Fail(document.status());
  for (const std::string& notice : document->notices) session.err << "note: " << notice << "\n";
  if (!options.skip_files) {
    if (absl::Status status = CheckJobPaths(*document); !status.ok()) return session.Fail(status);
  }
  if (options.format != OutputFormat::kTable) {
    session.out << ToData(document->spec, options.format) << std::flush;
    return kExitOk;
  }
  const v1::JobSpec& spec = document->spec;
  session.out << (options.file == "-" ? "<stdin>" : options.file) << ": job " << spec.name()
              << " is valid: " << spec.train().num_train_epochs() << " epochs, " << config::GlobalBatchSize(spec)
              << " users per step, " << spec.distributed().workers() << " workers, output in " << spec.output_dir() << "\n"
              << std::flush;
  return kExitOk;
}

}  // namespace

void AddValidate(CLI::App& app, Session& session) {
  auto options = std::make_shared<ValidateOptions>();
  CLI::App* const command = app.add_subcommand("validate", "Check a job.yaml; -o json prints it with every default");
  command->add_option("file,-f,--file", options->file, "job.yaml; - reads standard input")->required();
  command->add_option("--set", options->overrides, "Override KEY=VALUE; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  command->add_flag("--skip-files", options->skip_files, "Don't look whether data files and model directories exist");
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Validate(session, *options); }; });
}

}  // namespace pixelrec::ctl
