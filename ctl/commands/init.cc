// pixelrecctl init: a commented job.yaml to start from.
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/job_format.h"

namespace pixelrec::ctl {
namespace {

struct InitOptions {
  std::string file = "job.yaml";
  bool force = false;
  bool schema = false;
};

int Init(const Session& session, const InitOptions& options) {
  if (options.schema) {
    session.out << JobSchema() << std::flush;
    return kExitOk;
  }
  if (options.file == "-") {
    session.out << JobTemplate() << std::flush;
    return kExitOk;
  }
  std::error_code ignored;
  if (!options.force && std::filesystem::exists(options.file, ignored)) {
    return session.Fail(absl::AlreadyExistsError(absl::StrCat(options.file, " exists; --force replaces it")));
  }
  const std::filesystem::path file = std::filesystem::absolute(options.file, ignored);
  if (absl::Status status = storage::WriteFileAtomically(file, JobTemplate()); !status.ok()) return session.Fail(status);
  session.out << "wrote " << options.file << "; next: edit it, then pixelrecctl submit " << options.file << " --follow\n"
              << std::flush;
  return kExitOk;
}

}  // namespace

void AddInit(CLI::App& app, Session& session) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* const command = app.add_subcommand("init", "Write a commented job.yaml");
  command->add_option("file", options->file, "Where to; - prints it. Default: job.yaml");
  command->add_flag("--force", options->force, "Replace an existing file");
  command->add_flag("--schema", options->schema, "Print the JSON schema of job.yaml instead");
  command->callback([&session, options] { session.chosen = [&session, options] { return Init(session, *options); }; });
}

}  // namespace pixelrec::ctl
