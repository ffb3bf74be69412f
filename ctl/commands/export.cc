// pixelrecctl export: a trained model for other programs. The trainer writes it; this names a job's model and data.
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ctl/client/job_dataset.h"
#include "ctl/client/job_state.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/trainer_tool.h"

namespace pixelrec::ctl {
namespace {

struct ExportOptions {
  std::string source;  // path or job
  std::string format = "hf";
  std::string out;
  std::string item_model_dir;
  std::string user_model_dir;
  std::string dataset;
  bool force = false;
  int threads = 0;
};

// A job's best model and, for embeddings, its dataset unless one was given.
absl::Status LookUpJob(JobClient& client, ExportOptions& options) {
  const absl::StatusOr<v1::Job> job = client.Get(options.source);
  if (!job.ok()) return job.status();
  if (!job->has_best_model())
    return absl::NotFoundError(absl::StrCat("job ", job->job_id(), " has no model yet (", StateName(job->state()), ")"));
  options.source = job->best_model().path();
  if (options.format != "embeddings" || !options.dataset.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> dataset = DatasetOfJob(client, job->job_id());
  if (!dataset.ok()) return dataset.status();
  options.dataset = *dataset;
  return absl::OkStatus();
}

std::vector<std::string> TrainerArguments(const ExportOptions& options) {
  std::vector<std::string> arguments = {"export", options.source, "--format", options.format, "--out", options.out};
  const auto add = [&](const char* flag, const std::string& value) {
    if (value.empty()) return;
    arguments.emplace_back(flag);
    arguments.push_back(value);
  };
  add("--item-model-dir", options.item_model_dir);
  add("--user-model-dir", options.user_model_dir);
  add("--dataset", options.dataset);
  if (options.threads > 0) add("--threads", absl::StrCat(options.threads));
  if (options.force) arguments.emplace_back("--force");
  return arguments;
}

int Export(const Session& session, ExportOptions options) {
  std::error_code error;
  const bool is_path = options.source.find('/') != std::string::npos;
  if (std::filesystem::exists(options.source, error)) {
    // A job can have the same name: say which of the two is meant.
    if (!is_path) {
      session.err << "note: " << options.source << " is taken as what lies in this folder, not as a job; for the job, run this "
                  << "where no such file or folder is\n";
    }
  } else {
    if (is_path) return session.Fail(absl::NotFoundError(absl::StrCat(options.source, ": no such folder or file")));
    auto client = session.Connect();
    if (!client.ok()) return session.Fail(client.status());
    if (absl::Status status = LookUpJob(**client, options); !status.ok()) return session.Fail(status);
  }
  if (options.format == "embeddings" && options.dataset.empty()) {
    session.err << "error: say whose items: --dataset DIR\n";
    return kExitUsage;
  }
  return BecomeTrainer(session, TrainerArguments(options));
}

}  // namespace

void AddExport(CLI::App& app, Session& session) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* const command = app.add_subcommand("export", "Write a trained model for other programs");
  command
      ->add_option("source", options->source,
                   "A path (best_model/, checkpoint-epoch-N/, an earlier export, the reference's weights, a DeepSpeed "
                   "checkpoint), or a job; "
                   "a name without a slash is a path if it exists here")
      ->required();
  command
      ->add_option(
          "--format", options->format,
          "hf (default): two Hugging Face directories and the head; reference-safetensors, reference-bin: one file under "
          "the reference's names; embeddings: item_embeddings.npy and item_ids.txt")
      ->check(CLI::IsMember({"hf", "reference-safetensors", "reference-bin", "embeddings"}));
  command->add_option("--out", options->out, "Folder to make")->required();
  command->add_option("--item-model-dir", options->item_model_dir, "Model directory that the item LLM was trained from");
  command->add_option("--user-model-dir", options->user_model_dir, "Model directory that the user LLM was trained from");
  command->add_option("--dataset", options->dataset, "Prepared dataset whose items are embedded; default: the job's");
  command->add_flag("--force", options->force, "Replace an earlier export");
  command->add_option("--threads", options->threads, "Compute threads; default all")->check(CLI::Range(1, 4096));
  command->callback([&session, options] { session.chosen = [&session, options] { return Export(session, *options); }; });
}

}  // namespace pixelrec::ctl
